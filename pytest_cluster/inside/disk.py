"""Simulate slow files or a full disk in this process: for what Python opens and writes from now on.

``open`` and the functions of ``os`` that reach the disk are replaced as long as a fault lasts, and left alone
otherwise.  Code in C that writes by itself (SQLite) does not come by here: for that there is ``file_limit``.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Callable
from time import sleep  # this module is loaded before anything is patched: a slow disk holds up the loop as well
from typing import Any

from ..wire.records import Disk
from .armed import Armed

__all__ = ["DiskPlace"]

_WRITING = frozenset("wax+")
_BY_PATH = ("open", "mkdir", "rename", "replace", "unlink", "remove", "listdir", "scandir")
_BY_DESCRIPTOR = ("write", "fsync", "fdatasync", "pwrite", "writev", "read", "pread")
_GROWING = frozenset({"mkdir", "write", "pwrite", "writev"})


class DiskPlace:
    """What is armed at ``disk``; *exempt* is a folder that is always as it is: the plugin's own files."""

    def __init__(self, exempt: str) -> None:
        self._exempt = os.path.realpath(exempt) + os.sep
        self._armed: tuple[Disk, ...] = ()
        self._originals: list[tuple[Any, str, Any]] = []

    def __call__(self, armed: tuple[Armed, ...]) -> None:
        """Be as slow and as full as *armed* says."""
        self._armed = tuple(one.failpoint.action for one in armed if isinstance(one.failpoint.action, Disk))
        if self._armed and not self._originals:
            self._replace()
        elif not self._armed:
            while self._originals:
                setattr(*self._originals.pop())

    def meet(self, path: object, *, grows: bool) -> None:
        """Wait, and raise, as it is at *path*.

        :raises OSError: no space is left, and it would take some.
        """
        for disk in self._armed:
            if self._is_in(path, disk.folder):
                if disk.seconds:
                    sleep(disk.seconds)
                if disk.full and grows:
                    raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} (injected by the test)", path)

    def _is_in(self, path: object, folder: str) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        real = os.path.realpath(os.fsdecode(path))
        is_exempt = real.startswith(self._exempt) and not folder.startswith(self._exempt)
        return f"{real}{os.sep}".startswith(folder) and not is_exempt

    def _replace(self) -> None:
        opened = self._opener(io.open)
        for owner in (builtins, io):
            self._put(owner, "open", opened)
        for name in _BY_PATH:
            self._put(os, name, self._by_path(getattr(os, name), grows=name in _GROWING))
        for name in _BY_DESCRIPTOR:
            self._put(os, name, self._by_descriptor(getattr(os, name), grows=name in _GROWING))

    def _put(self, owner: object, name: str, value: object) -> None:
        self._originals.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    def _by_path(self, original: Callable[..., Any], *, grows: bool) -> Callable[..., Any]:
        def call(path: Any = ".", *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the original's
            self.meet(path, grows=grows)
            return original(path, *args, **kwargs)

        return call

    def _by_descriptor(self, original: Callable[..., Any], *, grows: bool) -> Callable[..., Any]:
        def call(fd: int, *args: Any) -> Any:  # noqa: ANN401 - the original's
            self.meet(_path_of(fd), grows=grows)
            return original(fd, *args)

        return call

    def _opener(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``open`` whose files meet the disk in all that they do."""

        def open_(
            file: Any,  # noqa: ANN401 - the original's, as the others
            mode: str = "r",
            buffering: int = -1,
            encoding: str | None = None,
            errors: str | None = None,
            newline: str | None = None,
            closefd: bool = True,
            opener: Callable[[str, int], int] | None = None,
        ) -> Any:  # noqa: ANN401
            """Open a file; one in a folder whose disk is faulty meets that disk."""
            path = _path_of(file) if isinstance(file, int) else file
            if not any(self._is_in(path, disk.folder) for disk in self._armed):
                return original(file, mode, buffering, encoding, errors, newline, closefd, opener)
            self.meet(path, grows=False)
            original(
                os.devnull, mode.replace("x", "w"), buffering, encoding, errors, newline
            ).close()  # what it refuses
            raw = _MetFile(file, mode.replace("t", "").replace("b", ""), closefd, opener)
            raw.meet = lambda grows: self.meet(path, grows=grows)
            return _buffered(raw, mode, buffering, encoding, errors, newline)

        return open_


class _MetFile(io.FileIO):
    """A file that meets its disk."""

    meet: Callable[[bool], None]

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - a buffer
        self.meet(True)
        return super().write(data)

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - a buffer
        self.meet(False)
        return super().readinto(buffer) or 0

    def readall(self) -> bytes:
        self.meet(False)
        return super().readall() or b""


def _buffered(
    raw: _MetFile, mode: str, buffering: int, encoding: str | None, errors: str | None, newline: str | None
) -> object:
    """Put around a file what ``open`` does for this mode."""
    if buffering == 0:
        return raw
    size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
    made: Any
    if "+" in mode:
        made = io.BufferedRandom(raw, size)
    elif _WRITING & set(mode):
        made = io.BufferedWriter(raw, size)
    else:
        made = io.BufferedReader(raw, size)
    if "b" in mode:
        return made
    text = io.TextIOWrapper(made, encoding, errors, newline, line_buffering=buffering == 1)
    text.mode = mode  # type: ignore[misc]
    return text


def _path_of(fd: object) -> str | None:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return None
