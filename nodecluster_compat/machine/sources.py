"""Notice when the source files of an application change.

Looked at only while workers keep failing, and bounded, because the primary has other things to do.  It reads
names, sizes and times, never contents.  Compiled files do not count: the failing workers write them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import Final

__all__ = ["Fingerprint", "fingerprint", "sources_of"]

Fingerprint = frozenset[tuple[str, int, int]]

MOST_ENTRIES: Final = 2000
"""Directory entries that one look reads at most, for each folder.  In larger trees a change may go unseen."""

_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})
_LIBRARIES: Final = ("site-packages", "dist-packages")


def sources_of(app_uri: str, folder: str, more: Iterable[str]) -> tuple[str, ...]:
    """Return the files and folders to look at.

    Args:
        app_uri: ``package.module:name``, or anything else that names no module.
        folder: the server's working directory.
        more: further paths.
    """
    top = app_uri.partition(":")[0].partition(".")[0]
    found = {os.path.abspath(path) for path in (folder, *more)}
    for entry in map(os.path.abspath, sys.path):
        if entry.endswith(_LIBRARIES):
            found.add(entry)  # its own time changes when something is installed
            if top and os.path.isdir(os.path.join(entry, top)):
                found.add(os.path.join(entry, top))
        elif top and (os.path.isdir(os.path.join(entry, top)) or os.path.isfile(os.path.join(entry, f"{top}.py"))):
            found.add(entry)
    return tuple(sorted(found))


def fingerprint(paths: Iterable[str]) -> Fingerprint:
    """Return names, sizes and times of the Python files under these folders, and of these files."""
    seen: set[tuple[str, int, int]] = set()
    for path in paths:
        is_tree = os.path.isdir(path) and not path.endswith(_LIBRARIES)
        for file in _python_files(path) if is_tree else (path,):
            _note(seen, file)
    return frozenset(seen)


def _note(seen: set[tuple[str, int, int]], path: str) -> None:
    try:
        facts = os.stat(path)
    except OSError:
        return  # not there: that is a fact too, and its coming is a change
    seen.add((path, facts.st_mtime_ns, facts.st_size))


def _python_files(folder: str) -> Iterator[str]:
    """Breadth first, so that a deep tree beside the application does not hide it."""
    folders = [folder]
    budget = MOST_ENTRIES
    for current in folders:
        try:
            entries = list(os.scandir(current))
        except OSError:
            continue
        if any(entry.name == "pyvenv.cfg" for entry in entries):
            continue
        for entry in entries:
            budget -= 1
            if budget < 0:
                return
            if entry.name.startswith(".") or entry.name in _SKIPPED:
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif entry.name.endswith(".py"):
                yield entry.path
