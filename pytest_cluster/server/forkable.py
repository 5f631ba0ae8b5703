"""Decide whether a server can be forked from a template, or has to be started by its command.  Pure but for folders.

A forked server must be what its command would have started.  What the template has imported was imported under the
environment and from the folders of the template, so a server is forked only if its own would have led to the same:

- the command is ``python -m program``, and its program and modules are found where the template has found them;
- variables that modules have read while they were imported have the same values, and so have those that Python, the
  C library and OpenSSL read when a process begins;
- nobody measures coverage, which begins with the interpreter.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

__all__ = ["Imports", "Template", "program_of", "why_not"]

# Read by the interpreter and by libraries in C when a process begins.  PYTHONPATH the template can follow.
_READ_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_", "GLIBC_", "TZ", "OPENSSL_", "SSL_")
_MEASURING = ("COVERAGE_", "COV_CORE_")
_SUFFIXES = sorted(importlib.machinery.all_suffixes(), key=len, reverse=True)
_RUN_BY_SITE = ("sitecustomize", "usercustomize")


@dataclass(frozen=True)
class Imports:
    """What a server may find imported, beside its program.

    Attributes:
        kind: of its workers, ``gevent``, ``threads`` or ``asgi``; empty: what is common to all.
        agent: the plugin's part in its processes; empty for a server that is not under test, or is a script, whose
            processes import it themselves.
    """

    kind: str = "gevent"
    agent: str = ""


@dataclass(frozen=True)
class Template:
    """What a template process says of itself.

    Attributes:
        environment: what it was started with, without PYTHONPATH.
        names: of variables that were read while it imported.
        modules: at the top level, with the real path of the file.
    """

    environment: Mapping[str, str]
    names: Collection[str]
    modules: Mapping[str, str]


def program_of(command: list[str]) -> str:
    """Return the module that a command runs with this Python; empty for any other command."""
    return command[2] if command[:2] == [sys.executable, "-m"] and len(command) > 2 else ""


def why_not(template: Template, environment: Mapping[str, str], folders: Iterable[str]) -> str:
    """Return why a server cannot be forked from a template; empty when it can.

    :param folders: where it looks for modules first: its working directory, what settings name.
    """
    measuring = sorted(name for name in environment if name.startswith(_MEASURING))
    if measuring:
        return f"{measuring[0]} is set"
    for name in sorted({*environment, *template.environment}):
        if _matters(name, template) and environment.get(name) != template.environment.get(name):
            return f"{name} is another"
    named = environment.get("PYTHONPATH", "")
    for folder in dict.fromkeys([*folders, *(named.split(os.pathsep) if named else [])]):
        hidden = _hidden(template, folder)
        if hidden:
            return f"{folder} has another {hidden}"
    return ""


def _matters(name: str, template: Template) -> bool:
    return name != "PYTHONPATH" and (name in template.names or name.startswith(_READ_AT_START))


def _hidden(template: Template, folder: str) -> str:
    """Return the first module of the template that a folder has as well, and which is another one there."""
    try:
        entries = sorted(os.listdir(folder or "."))
    except OSError:
        return ""
    for entry in entries:
        name, file = _module_of(folder, entry)
        origin = template.modules.get(name)
        if name in _RUN_BY_SITE or (origin is not None and origin != os.path.realpath(file)):
            return name
    return ""


def _module_of(folder: str, entry: str) -> tuple[str, str]:
    """Return the module that an entry of a folder is, and the path of its file; empty when it is none."""
    path = os.path.join(folder, entry)
    suffix = next((each for each in _SUFFIXES if entry.endswith(each)), None)
    if suffix:
        return entry.removesuffix(suffix), path
    begin = os.path.join(path, "__init__.py")
    return (entry, begin) if os.path.isfile(begin) else ("", "")
