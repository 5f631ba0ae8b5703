"""Keep a folder in memory for what the processes of one cluster share, for as long as a primary of it lives.

It lies in ``/dev/shm``, or where temporary files do, and only its user may enter.  Its path is decided by the first
primary and inherited by the one that an upgrade starts, so both have the same.  It is made by whoever needs it first.

Whose it is, the kernel knows: each primary that uses it holds a lock on a byte of a file in it, which ends with the
process, however that ends.  The last one to leave removes it; what a killed primary has left, the next one that makes
such a folder removes.

The same file has a byte for each name that two primaries may hold only one after the other (:meth:`StateFolder.take`):
an upgrade runs two for a while.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from hashlib import blake2b
from typing import Final

from ..errors import StoreUnavailable

__all__ = ["StateFolder"]

_MEMORY: Final = "/dev/shm"  # noqa: S108 - its own folder in it is the user's alone
_LOCKS: Final = "locks"
_MARK: Final = "mark-"
_OWNER: Final = 0
_FRESH_SECONDS: Final = 60.0


class StateFolder:
    """A cluster's folder.

    Args:
        path: where; ``None`` for a new one of an unknown name.
        user: whose it is, by uid and gid, where a primary of root's has workers of another user.
    """

    def __init__(self, path: str | None = None, user: tuple[int, int] | None = None) -> None:
        self._user = user
        self.path = path or os.path.join(_home(), f"{_prefix()}{os.urandom(8).hex()}")
        self._pid = os.getpid()
        self._fd = -1

    def make(self) -> str:
        """Make the folder, unless it is there; return its path.

        Raises:
            StoreUnavailable: it cannot be made, or is somebody else's.
        """
        try:
            if self._user is not None and os.geteuid() == 0:
                self._make_theirs()
            else:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(self.path, 0o700)
            status = os.stat(self.path, follow_symlinks=False)
        except OSError as error:
            raise StoreUnavailable(f"expected to make the folder {self.path}: {error}") from error
        users = {os.geteuid(), *(self._user or ())[:1]}
        if status.st_uid not in users or status.st_mode & 0o077 or not stat.S_ISDIR(status.st_mode):
            raise StoreUnavailable(f"expected {self.path} to be a folder of this user's alone")
        return self.path

    def _make_theirs(self) -> None:
        """Make it under another name: a worker that looks at it meanwhile would find a folder of root's."""
        if os.path.lexists(self.path):
            return
        home, name = os.path.split(self.path)
        draft = tempfile.mkdtemp(prefix=f".{name}.", dir=home)
        try:
            self.give(draft)
            os.rename(draft, self.path)
        except OSError:
            os.rmdir(draft)
            if not os.path.lexists(self.path):  # or a worker was first, and has a file in it
                raise

    def give(self, path: str) -> None:
        """Let the workers have a file in it that a primary of root's has made."""
        if self._user is not None and os.geteuid() == 0:
            os.chown(path, *self._user, follow_symlinks=False)

    # --- in a primary --------------------------------------------------------------------------

    def hold(self) -> None:
        """Keep the folder while this process lives; a second call is a no-op.

        Raises:
            StoreUnavailable: it cannot be made.
        """
        if self._fd >= 0:
            return
        self.make()
        try:
            self._fd = _open_locks(self.path)
            fcntl.lockf(self._fd, fcntl.LOCK_SH, 1, _OWNER)
        except OSError as error:
            raise StoreUnavailable(f"expected to lock a file in {self.path}: {error}") from error
        _remove_abandoned(self.path)

    def hold_if_made(self) -> None:
        """As :meth:`hold`, where somebody has made the folder already."""
        if os.path.isdir(self.path):
            with contextlib.suppress(StoreUnavailable):
                self.hold()

    def leave(self) -> None:
        """This primary ends: remove the folder, unless another holds it.  Not in a process that was forked."""
        if os.getpid() != self._pid:
            return
        self.hold_if_made()
        if self._fd < 0:
            return
        is_last = _lock(self._fd, fcntl.LOCK_EX, _OWNER)
        if is_last:
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._fd)
        self._fd = -1

    def abandon(self) -> None:
        """In a forked child: the locks are the parent's, and so is the folder."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # --- between two primaries -----------------------------------------------------------------

    def take(self, name: str) -> bool:
        """Take a name; return whether it is this primary's now, or was.

        Raises:
            StoreUnavailable: there is no folder.
        """
        self.hold()
        return _lock(self._fd, fcntl.LOCK_EX, _byte_of(name))

    def give_back(self, name: str) -> None:
        """Give a name back that was taken."""
        if self._fd >= 0:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, _byte_of(name))

    def mark(self, name: str) -> None:
        """Note a name for as long as the folder is there.

        Raises:
            StoreUnavailable: there is no room for that.
        """
        self.hold()
        try:
            os.close(os.open(self._mark_of(name), os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StoreUnavailable(f"expected to make a file in {self.path}: {error}") from error

    def is_marked(self, name: str) -> bool:
        """Whether a name was noted."""
        return os.path.exists(self._mark_of(name))

    def _mark_of(self, name: str) -> str:
        return os.path.join(self.path, _MARK + blake2b(name.encode(), digest_size=16).hexdigest())


def _home() -> str:
    return _MEMORY if os.access(_MEMORY, os.W_OK | os.X_OK) else tempfile.gettempdir()


def _prefix() -> str:
    return f"nodecluster-{os.geteuid()}-"


def _open_locks(path: str) -> int:
    return os.open(os.path.join(path, _LOCKS), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _lock(fd: int, how: int, byte: int) -> bool:
    try:
        fcntl.lockf(fd, how | fcntl.LOCK_NB, 1, byte)
    except OSError:
        return False
    return True


def _byte_of(name: str) -> int:
    return 1 + (int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") >> 2)


def _remove_abandoned(own: str) -> None:
    """Remove the folders of primaries that were killed; opening our own would end our locks."""
    home, prefix = _home(), _prefix()
    names: list[str] = []
    with contextlib.suppress(OSError):
        names = os.listdir(home)
    for name in names:
        path = os.path.join(home, name)
        if path != own and name.startswith(prefix):
            _remove_if_abandoned(path)


def _remove_if_abandoned(path: str) -> None:
    with contextlib.suppress(OSError):  # another server may have removed it
        if time.time() - os.stat(path).st_mtime <= _FRESH_SECONDS:
            return
        fd = _open_locks(path)
        try:
            if _lock(fd, fcntl.LOCK_EX, _OWNER):
                shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(fd)
