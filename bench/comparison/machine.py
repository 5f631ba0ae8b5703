"""Where figures come from: machine, versions, commit, moment."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path

from comparison.groups import Group, Run
from comparison.tools import ROOT


def processor() -> str:
    """What the kernel calls the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def commit() -> str:
    """The last commit that changed what was measured, with a + if there are changes without a commit."""
    last = git("log", "-1", "--abbrev=10", "--format=%h", "--", "nodecluster_compat") or "unknown"
    return last + ("+" if git("status", "--porcelain", "--", "nodecluster_compat") else "")


def git(*arguments: str) -> str:
    """What git says about the checkout; nothing where it is none."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def how(group: Group, run: Run) -> str:
    """How often everything was measured."""
    if run.quick:
        return "quick run"
    return f"{run.sets} sets of {run.rounds_of_set} rounds" if group.in_sets else f"{run.rounds} rounds"


def origin(group: Group, run: Run) -> dict[str, str]:
    """Of a group of results; groups may have been measured at different times."""
    return {
        "machine": f"{processor()}, {os.cpu_count()} cores, Linux {platform.release()}, {platform.machine()}",
        "versions": run.tools.versions(),
        "commit": commit(),
        "when": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "how": how(group, run),
    }
