"""Finds or installs what the comparison needs: an environment with the peers, Node, wrk, a C compiler."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from figures import progress
from sessions import HERE, BenchError

from comparison.figures import NODES

PEERS = HERE / "peers"
ROOT = HERE.parent
NO_WRK = "wrk is not installed: on Debian and Ubuntu 'apt-get install wrk', or run this as root with --install-wrk"
PACKAGES = ("gunicorn", "gevent", "gunicorn_h1c", "granian", "pyuwsgi", "flask", "msgspec")


@dataclass(frozen=True)
class Tools:
    """The programs of a run.

    Attributes:
        python: the interpreter whose environment has gunicorn and, unless it is the running one, the peers.
        nodes: Node's executables, by side; empty when none takes part.
    """

    python: Path
    nodes: Mapping[str, str]

    def script(self, name: str) -> str:
        """A command that a package of the environment has installed."""
        path = self.python.with_name(name)
        if not path.exists():
            raise BenchError(f"{path} does not exist: {name} is not installed beside {self.python}")
        return str(path)

    def versions(self) -> str:
        """What was measured, for the head of the table."""
        code = (
            "import sys, importlib.metadata as m\n"
            "print('Python', sys.version.split()[0])\n"
            "for name in sys.argv[1:]:\n"
            "    try: print(name, m.version(name))\n"
            "    except m.PackageNotFoundError: pass\n"
        )
        found = said([str(self.python), "-c", code, *PACKAGES]).splitlines()
        found += [f"Node {said([node, '--version']).removeprefix('v')}" for node in self.nodes.values()]
        if shutil.which("wrk"):
            found.append(f"wrk {wrk_version()}")
        return ", ".join(found)


def said(command: Sequence[str]) -> str:
    """What a command prints; wrk prints its version on either stream and then fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout.strip()


def wrk_version() -> str:
    found = re.search(r"wrk (?:debian/)?(\S+)", said(["wrk", "-v"]))
    return found[1] if found else "of an unknown version"


def cache_home() -> Path:
    """Where environments are kept from run to run."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nodecluster-compat"


def environment() -> Path:
    """The interpreter of an environment with all of `peers/requirements.txt`; made when there is none yet."""
    wanted = (PEERS / "requirements.txt").read_bytes() + sys.version.encode()
    folder = cache_home() / f"bench-{hashlib.sha256(wanted).hexdigest()[:12]}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        progress(f"installing the peers into {folder} ...")
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        command = [str(python), "-m", "pip", "install", "-q", "-r", str(PEERS / "requirements.txt")]
        subprocess.run(command, check=True, stdout=sys.stderr)
        (folder / "complete").touch()
    return python


def find_node(version: str) -> str:
    """Node of this major version, which the tests keep in the same cache; installed when there is none yet."""
    sys.path.append(str(ROOT / "tests" / "support"))
    from node import node

    return node(version)


def find_wrk(install: bool) -> None:
    """Raise unless there is wrk; with `install`, have Debian's package manager install it."""
    if shutil.which("wrk") is None and install:
        subprocess.run(["apt-get", "install", "-y", "wrk"], check=True, stdout=sys.stderr)
    if shutil.which("wrk") is None:
        raise BenchError(NO_WRK)


def prepare(sides: Sequence[str], *, here: bool) -> Tools:
    """Everything but wrk; with `here` in the running interpreter's environment, where nothing is installed."""
    python = Path(sys.executable) if here else environment()
    return Tools(python, {side: find_node(NODES[side]) for side in sides if side in NODES})
