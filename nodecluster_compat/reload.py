"""Reload a server and wait for the outcome: ``python -m nodecluster_compat.reload STATUS_FILE``.

A signal has no answer, so this reads it from the file that ``setup_primary(status_file=...)`` names.

Exit status: 0 the reload succeeded; 1 it failed, and the former workers serve on; 2 there is no such server, or it
has not ended the reload in time.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from typing import Any, Final

__all__ = ["main"]

_LOOK_SECONDS: Final = 0.1


def main(arguments: list[str] | None = None) -> int:
    """Reload a server and wait for the end; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m nodecluster_compat.reload", description="Reload and wait.")
    parser.add_argument("status_file", help="what setup_primary(status_file=...) says")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds to wait (default: 300)")
    options = parser.parse_args(arguments)
    try:
        return _reload(options.status_file, time.monotonic() + options.timeout)
    except (OSError, ValueError, KeyError) as error:
        print(f"no server to reload: {options.status_file}: {error}", file=sys.stderr)  # noqa: T201 - a command
        return 2


def _reload(path: str, deadline: float) -> int:
    before = _read(path)
    number = _reload_of(before).get("number", 0)
    os.kill(before["pid"], signal.SIGHUP)
    while time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
        os.kill(before["pid"], 0)
        report = _reload_of(_read(path))
        if report.get("number", 0) > number and report["state"] != "rolling":
            print(f"reload {report['number']} {report['state']}: {report['reason'] or 'all workers are new'}")  # noqa: T201
            return 0 if report["state"] == "succeeded" else 1
    print("the reload has not ended in time", file=sys.stderr)  # noqa: T201
    return 2


def _read(path: str) -> dict[str, Any]:
    with open(path, encoding="utf-8") as file:
        status: dict[str, Any] = json.load(file)
    return status


def _reload_of(status: dict[str, Any]) -> dict[str, Any]:
    return status["reload"] or {}


if __name__ == "__main__":
    sys.exit(main())
