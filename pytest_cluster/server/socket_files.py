"""Remove the socket files of a cluster; the guard knows them as well, so that none outlives a killed primary."""

from __future__ import annotations

import os

from ..journal.entries import JournalEntry
from .guard import guard
from .stale import remove_stale_socket

__all__ = ["SocketFiles"]


class SocketFiles:
    """The socket files of one cluster.

    Args:
        tag: by which the guard knows the cluster.
        cwd: where relative paths begin.
    """

    def __init__(self, tag: str, cwd: str) -> None:
        self._tag = tag
        self._cwd = cwd
        self._paths: set[str] = set()

    def note(self, entry: JournalEntry) -> None:
        """Add the file at which a worker listens, by its entry in the journal."""
        file = None if entry.address is None else entry.address.socket_file
        if file is not None:
            self.add(file)

    def add(self, file: str) -> None:
        """Add a file at which the server is told, or says, to listen."""
        path = os.path.abspath(os.path.join(self._cwd, file))
        if path not in self._paths:
            self._paths.add(path)
            guard.note_socket(self._tag, path)

    def remove(self) -> None:
        """Remove the files that are left, unless somebody else listens there by now."""
        for path in self._paths:
            remove_stale_socket(path)
