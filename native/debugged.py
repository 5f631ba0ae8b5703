# ruff: noqa: INP001 - a script beside the sources that it compiles
"""Test the C extension in a debug build of CPython: ``python native/debugged.py``.

That counts all references, and checks what it is given.  The extension is built for it into a temporary folder, beside
links to the rest of the package; what else is needed is taken from the environment of this Python, which is of the same
version.  The tests are those of ``pytest.ini`` here, and those that count what a thousand operations leave behind.
Words and options are those of pytest, which then runs once; files are seen from here.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import building
import sanitized

_HERE: Final = building.ROOT / "native"
_NAME: Final = f"python{sys.version_info.major}.{sys.version_info.minor}-dbg"
_SECONDS: Final = 600  # for a test: all of them are slower
_PYTEST: Final = ("-m", "pytest", "-c", "pytest.ini", "-q", "-p", "no:cacheprovider")
_REFERENCES: Final = ("-m", "slow", "../tests/unit/test_references.py")
_IS_FIT: Final = "import sys; print(hasattr(sys, 'gettotalrefcount'), *sys.version_info[:2])"


def main() -> None:
    """Build and run, and end with code 1 where something was found."""
    parser = argparse.ArgumentParser(description="Test the C extension in a debug build of CPython.")
    parser.add_argument("--python", default=_NAME, help=f"the debug build; by default {_NAME}")
    given, options = parser.parse_known_args()
    if not is_fit(given.python):
        sys.exit(f"expected a debug build of this version of Python, got {given.python}: apt-get install {_NAME}")
    with TemporaryDirectory() as folder:
        environment = environment_of(folder)
        _build(given.python, folder, environment)
        runs = [options] if options else [(), _REFERENCES]
        failed = [run for run in runs if not _passes(given.python, run, environment)]
    sys.exit("FAILED" if failed else 0)


def is_fit(python: str) -> bool:
    """Return whether that is a debug build of this version."""
    if shutil.which(python) is None:
        return False
    done = subprocess.run([python, "-c", _IS_FIT], capture_output=True, text=True, check=False)
    return done.stdout.split() == ["True", *map(str, sys.version_info[:2])]


def environment_of(folder: str) -> dict[str, str]:
    """Return the environment of a process that loads what was built into ``folder``."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((folder, sysconfig.get_path("platlib"), str(building.ROOT))),
        "PYTHONSAFEPATH": "1",  # not the package in a current folder
        "PYTHONFAULTHANDLER": "1",
        "PYTEST_TIMEOUT": str(_SECONDS),
        "NODECLUSTER_NATIVE": "1",
    }


def _build(python: str, folder: str, environment: dict[str, str]) -> None:
    package = Path(folder, "nodecluster_compat")
    sanitized.link(package)
    command = [python, building.__file__, "--into", str(package)]
    subprocess.run(command, env={**environment, "PYTHONSAFEPATH": ""}, check=True)


def _passes(python: str, options: Sequence[str], environment: dict[str, str]) -> bool:
    command = [python, "-X", "showrefcount", *_PYTEST, *options]
    return subprocess.run(command, cwd=_HERE, env=environment, check=False).returncode == 0


if __name__ == "__main__":
    main()
