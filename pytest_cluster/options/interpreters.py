"""Find another interpreter, or another version of gunicorn, for a server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from importlib import metadata

from ..errors import MissingProgram, OptionError
from .versions import DISTRIBUTION, supported_gunicorns

__all__ = ["gunicorn_folder", "interpreter"]

PROBE = "import gunicorn, nodecluster_compat, pytest_cluster; print('it serves')"
PROBE_SECONDS = 60.0
FETCH_SECONDS = 300.0
PIP = ["install", "--quiet", "--no-deps", "--no-input", "--retries=2", "--disable-pip-version-check"]

_problems: dict[str, str] = {}
"""What is wrong with an interpreter, or why a folder is not there: each test of a matrix asks for the same."""


def interpreter(wanted: str) -> str:
    """Return the path of an interpreter that can serve.

    :param wanted: its path, or its version, ``"3.12"``, that is looked for as ``python3.12`` in ``PATH``.
    :raises MissingProgram: there is none, or it has not what a server needs.
    """
    if wanted in _problems:
        raise MissingProgram(_problems[wanted])
    try:
        return _interpreter(wanted)
    except MissingProgram as problem:
        _problems[wanted] = str(problem)
        raise


@cache
def _interpreter(wanted: str) -> str:
    name = f"python{wanted}" if re.fullmatch(r"3\.[0-9]+", wanted) else wanted
    found = shutil.which(name)
    if found is None:
        if os.path.exists(name):
            raise MissingProgram(f"python: {name} cannot be run: it is no program")
        raise MissingProgram(
            f"python: there is no {name or repr(name)}{' in PATH' if name != wanted else ''}: install it, or give the "
            "path of one, as '.tox/py312/bin/python'"
        )
    path = os.path.abspath(found)  # not its real path: in a virtual environment that is another interpreter
    try:
        tried = _run([path, "-c", PROBE], PROBE_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingProgram(f"python: {path} cannot be run: {error}") from None
    if tried.returncode or "it serves" not in tried.stdout:
        lines = [line.strip() for line in tried.stderr.splitlines() if line.strip()]
        is_python = any(line.startswith("Traceback") for line in lines)
        why = lines[-1 if is_python else 0] if lines else f"it is no Python (exit code {tried.returncode})"
        raise MissingProgram(f"python: {path} cannot serve: {why}: install {DISTRIBUTION} for it")
    return path


def gunicorn_folder(version: str, cache_folder: Callable[[str], str]) -> str:
    """Return a folder that has this version of gunicorn; empty when it is the one that is installed.

    :param cache_folder: makes, and returns, the folder in which one of this name is kept.
    :raises OptionError: the server package does not support it.
    :raises MissingProgram: it is not there, and pip cannot fetch it.
    """
    if not re.fullmatch(r"[0-9]+(\.[0-9a-z]+)*", version):
        raise OptionError(f"gunicorn: expected a version, as '27.0.1', got {version!r:.100}")
    wanted = supported_gunicorns()
    if wanted is not None and not wanted.contains(version, prereleases=True):
        raise OptionError(f"gunicorn: {DISTRIBUTION} needs {wanted}, got {version!r}")
    if metadata.version("gunicorn") == version:
        return ""
    name = f"gunicorn-{version}"
    folder = os.path.join(cache_folder(name), name)
    if not os.path.isdir(folder):
        problem = _problems.get(folder) or _fetch(version, folder)
        if problem:
            _problems[folder] = problem
            raise MissingProgram(f"gunicorn: {problem}")
    return folder


def _fetch(version: str, folder: str) -> str:
    """Let pip put it there, whole or not at all: several processes may do so at a time; return why it could not."""
    try:
        with tempfile.TemporaryDirectory(dir=os.path.dirname(folder)) as place:
            target = os.path.join(place, "gunicorn")
            fetched = _run(
                [sys.executable, "-m", "pip", *PIP, "--target", target, f"gunicorn=={version}"], FETCH_SECONDS
            )
            if fetched.returncode:
                lines = fetched.stderr.strip().splitlines()
                unreached = " (it could not reach the index)" if "connection broken" in fetched.stderr else ""
                return f"pip cannot fetch {version}: {lines[-1] if lines else 'it says nothing'}{unreached}"
            try:
                os.rename(target, folder)
            except OSError:
                if not os.path.isdir(folder):  # somebody else was quicker
                    raise
    except subprocess.TimeoutExpired:
        return f"pip did not fetch {version} within {FETCH_SECONDS:g} s"
    except OSError as error:
        return f"{version} cannot be kept in {os.path.dirname(folder)}: {error}"
    return ""


def _run(command: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=seconds
    )
