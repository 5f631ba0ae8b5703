"""Write the status of the cluster into a file, for the programs around the server."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import to_builtins

from .status_document import document_of

if TYPE_CHECKING:
    from ..roles.status import ClusterStatus

__all__ = ["StatusFile", "write_status"]

_Identity: TypeAlias = tuple[int, int, int]

_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MOST_BYTES: Final = 4 * 1024 * 1024


def write_status(status: ClusterStatus, path: str) -> _Identity:
    """Write the status as JSON, so that a reader finds the old file or the new one, never a part.

    Everybody may read it, less the umask.  It is a new file each time: whoever may write in that folder can replace it,
    but cannot have this process write into a file of its choice.

    Returns:
        What tells the file from another one at that path.

    Raises:
        OSError: it cannot be written; the old file, if any, is as it was.
    """
    draft = f"{path}.{status.pid}"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)  # of a process that had this pid and was killed
        with open(os.open(draft, _NEW_FILE, 0o644), "w", encoding="utf-8") as file:
            json.dump(to_builtins(document_of(status)), file)  # with blanks: people search it with grep
            file.write("\n")
        identity = _identity_of(draft)
        os.replace(draft, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
    return identity


class StatusFile:
    """The status file of one server, at one path after another."""

    def __init__(self) -> None:
        self._written: tuple[str, _Identity] | None = None

    def write(self, status: ClusterStatus, path: str) -> int:
        """Write it; return the pid of another process that lives and has written there since the last time, or 0.

        Raises:
            OSError: it cannot be written; the old file, if any, is as it was.
        """
        is_known = self._written is not None and self._written[0] == path
        other = _writer_of(path) if is_known and not self._is_ours(path) else 0
        self._written = path, write_status(status, path)
        return other

    def remove(self, path: str) -> None:
        """Remove it; what another server has written there stays.

        Raises:
            OSError: it cannot be removed.
        """
        if self._is_ours(path):
            os.unlink(path)

    def _is_ours(self, path: str) -> bool:
        try:
            return self._written == (path, _identity_of(path))
        except OSError:
            return False


def _identity_of(path: str) -> _Identity:
    facts = os.lstat(path)
    return facts.st_dev, facts.st_ino, facts.st_mtime_ns  # the number of a file that has gone is given to another one


def _writer_of(path: str) -> int:
    """Return the process that a status file says it is of, if that lives.

    It may be anything, put there by whoever may write in that folder: a FIFO, a link, a file without end.
    """
    try:
        with open(os.open(path, _READ), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return 0
            pid = int(json.loads(file.read(_MOST_BYTES))["pid"])
        return pid if pid > 0 and os.path.exists(f"/proc/{pid}") else 0
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return 0
