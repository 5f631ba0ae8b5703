"""The files at which a cluster's workers listen: known to the guard as well, so that none outlives a killed primary."""

from __future__ import annotations

import os

from ..story.entries import JournalEntry
from .guard import guard
from .stale import remove_stale_socket

__all__ = ["SocketFiles"]


class SocketFiles:
    """Those of one cluster.

    Args:
        tag: by which the guard knows the cluster.
        cwd: where relative paths begin.
    """

    def __init__(self, tag: str, cwd: str) -> None:
        self._tag = tag
        self._cwd = cwd
        self._paths: set[str] = set()

    def note(self, entry: JournalEntry) -> None:
        """Read where a worker listens."""
        file = None if entry.address is None else entry.address.socket_file
        if file is not None:
            self.add(file)

    def add(self, file: str) -> None:
        """The server is told, or says, to listen here."""
        path = os.path.abspath(os.path.join(self._cwd, file))
        if path not in self._paths:
            self._paths.add(path)
            guard.note_socket(self._tag, path)

    def remove(self) -> None:
        """Remove those that are left; not such as are somebody else's by now."""
        for path in self._paths:
            remove_stale_socket(path)
