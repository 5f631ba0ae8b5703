"""Listen on a path of the file system that other servers may want, too.

Anybody may bind, rename and remove a path.  So these are the rules:

* A path is taken only if nobody answers there: there is nothing, a socket that refuses, or a socket of a process that
  may be replaced (an old master).  A file that is no socket is never touched.
* The socket has its mode from its first moment: it is bound under another name, and renamed.  So there is no moment
  without a socket either, when a new master takes over.
* Only the owner of the socket, which is known by its inode, removes it.
"""

from __future__ import annotations

import _socket
import errno
import os
import stat
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from ..errors import PathTaken

__all__ = ["SocketPath", "holder_of"]

_FOLDER_MODE: Final = 0o700
_CREDENTIALS: Final = struct.Struct("iII")  # struct ucred: pid, uid, gid
_UNKNOWN: Final = 0
_LONGEST: Final = 107  # sun_path, less the NUL that ends it: whoever connects cannot name a longer one


class SocketPath:
    """A path that one process listens on.

    Args:
        path: absolute.
        mode: the permissions of the socket.

    Attributes:
        path: as above.
        mode: as above.
    """

    def __init__(self, path: str, mode: int) -> None:
        self.path = path
        self.mode = mode
        self._identity: tuple[int, int] | None = None
        self._sock: _socket.socket | None = None

    @property
    def is_ours(self) -> bool:
        """Whether what is at the path now is what was bound here."""
        return self._identity is not None and self._identity == _identity_of(self.path)

    def take(self, backlog: int, may_replace: Callable[[int], bool]) -> _socket.socket:
        """Listen on the path, and return the socket, which does not block.

        Args:
            backlog: connections that may wait in the kernel.
            may_replace: whether a server with this pid may lose the path; the pid is 0 where it is not known.

        Raises:
            PathTaken: somebody else has the path; nothing has changed.
            OSError: there can be no socket at that path.
            ValueError: the system has no such path.
            OverflowError: nor such a mode.
        """
        if len(os.fsencode(self.path)) > _LONGEST:
            raise OSError(errno.ENAMETOOLONG, f"AF_UNIX path too long, expected {_LONGEST} bytes at most", self.path)
        os.makedirs(os.path.dirname(self.path) or ".", mode=_FOLDER_MODE, exist_ok=True)
        holder = holder_of(self.path)
        if holder is not None and not may_replace(holder):
            raise PathTaken(self.path, holder)
        self._sock = self._listening(backlog)
        return self._sock

    def _listening(self, backlog: int) -> _socket.socket:
        """Return a socket that listens on the path: bound beside it, and put there in one step when all is done."""
        draft = os.path.join(os.path.dirname(self.path), f".{os.getpid()}")
        with suppress(FileNotFoundError):
            os.unlink(draft)  # of a process that had this pid
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK)
        try:
            os.fchmod(sock.fileno(), self.mode)  # what is bound has at most these: never umask's alone
            sock.bind(draft)
            os.chmod(draft, self.mode)
            sock.listen(backlog)
            identity = _identity_of(draft)
            os.rename(draft, self.path)
        except Exception:
            sock.close()
            with suppress(OSError):
                os.unlink(draft)
            raise
        self._identity = identity
        return sock

    def release(self) -> None:
        """Remove the path, if it is still this process's."""
        if self.is_ours:
            with suppress(OSError):
                os.unlink(self.path)
        self._identity = None

    def abandon(self) -> None:
        """Close the socket, and leave the path as it is: in a forked child it is the parent's."""
        if self._sock is not None:
            self._sock.close()


def holder_of(path: str) -> int | None:
    """Return the pid of the process that listens on a path, 0 where it is not known; ``None`` where nobody does.

    Raises:
        PathTaken: there is a file that is no socket.
        OSError: nobody can tell.
    """
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise PathTaken(path, _UNKNOWN, "a file that is no socket")
    except FileNotFoundError:
        if os.path.islink(path):
            raise PathTaken(path, _UNKNOWN, "a link that leads nowhere") from None
        return None
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK)
    try:
        probe.connect(path)
        return int(_CREDENTIALS.unpack(_credentials(probe))[0])
    except OSError as error:
        if error.errno in (errno.ECONNREFUSED, errno.ENOENT):
            return None
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EPERM, errno.EPROTOTYPE):
            return _UNKNOWN  # its backlog is full, it is another user's, or of another kind
        raise
    finally:
        probe.close()


def _credentials(sock: _socket.socket) -> bytes:
    return sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _CREDENTIALS.size)


def _identity_of(path: str) -> tuple[int, int] | None:
    try:
        facts = os.lstat(path)
    except OSError:
        return None
    return (facts.st_dev, facts.st_ino) if stat.S_ISSOCK(facts.st_mode) else None
