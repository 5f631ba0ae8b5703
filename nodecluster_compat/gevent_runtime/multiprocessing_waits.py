"""Let ``multiprocessing`` wait as the rest of a patched process does: other greenlets run meanwhile.

A pool has threads that pass on tasks and results.  gevent makes greenlets of them, but ``multiprocessing`` waits in two
calls that gevent does not know: ``os.read`` on the pipes and ``sem_wait`` in its locks.  There the whole process waits,
and the greenlet that would send the task never runs, so ``Pool().map()`` hangs for ever.

Here a pipe is read, or written, once it is ready, and a lock that is taken is tried again.  The modules are changed
when they are imported, or now if they have been.

Rejected: importing them in every worker (10 ms and half a megabyte), and waiting for locks in threads, which would have
them when the greenlet that asked is gone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from time import monotonic
from types import ModuleType
from typing import Any, Final

import gevent
from gevent.socket import wait_read, wait_write

__all__ = ["make_multiprocessing_cooperative"]

_PIPE_BYTES: Final = 4096  # PIPE_BUF: a pipe that is ready takes so many without waiting
_FIRST_TRY_SECONDS: Final = 0.001
_TRY_SECONDS: Final = 0.01


def make_multiprocessing_cooperative() -> None:
    """In a process that gevent has patched: let ``multiprocessing`` wait cooperatively."""
    for name, change in _CHANGES.items():
        if name in sys.modules:
            change(sys.modules[name])
    sys.meta_path.insert(0, _Finder())


def read_when_ready(fd: int, size: int) -> bytes:
    """Like ``os.read``, while other greenlets run."""
    while True:
        wait_read(fd)
        try:
            return os.read(fd, size)
        except BlockingIOError:  # somebody else was faster
            continue


def write_when_ready(fd: int, data: bytes | memoryview) -> int:
    """Like ``os.write``, while other greenlets run; writes all of it."""
    view = memoryview(data)
    written = 0
    while written < len(view):
        wait_write(fd)
        try:
            written += os.write(fd, view[written : written + _PIPE_BYTES])
        except BlockingIOError:
            continue
    return written


def acquire_when_free(semaphore: Any, block: bool = True, timeout: float | None = None) -> bool:  # noqa: ANN401 - of C
    """Like ``SemLock.acquire``, while other greenlets run.

    Args:
        semaphore: the semaphore of a lock of ``multiprocessing``.
        block: whether to wait.
        timeout: seconds; ``None`` for no limit.
    """
    if semaphore.acquire(False):
        return True
    deadline = None if timeout is None else monotonic() + timeout
    pause = _FIRST_TRY_SECONDS
    while block and (deadline is None or monotonic() < deadline):
        gevent.sleep(pause if deadline is None else max(0.0, min(pause, deadline - monotonic())))
        if semaphore.acquire(False):
            return True
        pause = min(2 * pause, _TRY_SECONDS)
    return False


def _change_connection(module: Any) -> None:  # noqa: ANN401 - a module
    module.Connection._recv.__defaults__ = (read_when_ready,)
    module.Connection._send.__defaults__ = (write_when_ready,)


def _change_locks(module: Any) -> None:  # noqa: ANN401 - a module
    def make_methods(self: Any) -> None:  # noqa: ANN401 - a lock
        self.acquire = partial(acquire_when_free, self._semlock)
        self.release = self._semlock.release

    module.SemLock._make_methods = make_methods
    module.SemLock.__enter__ = lambda self: self.acquire()


_CHANGES: Final[dict[str, Callable[[Any], None]]] = {
    "multiprocessing.connection": _change_connection,
    "multiprocessing.synchronize": _change_locks,
}


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        _CHANGES[module.__name__](module)


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _CHANGES:
            return None
        found = PathFinder.find_spec(fullname, path, target)
        if found is None or found.origin is None or not isinstance(found.loader, SourceFileLoader):
            return None  # somewhere else than in a file: it stays as it is
        return spec_from_file_location(fullname, found.origin, loader=_Loader(fullname, found.origin))
