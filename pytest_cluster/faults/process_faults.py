"""Kill, crash, pause, block or limit one process."""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import signal
import threading
from collections.abc import Callable, Iterator

from ..errors import FaultError, OptionError
from ..options.checks import check_count
from ..processes.worker import WorkerProxy
from ..server.leaks import is_stopped
from ..signals import signal_number
from ..waiting import poll
from ..wire.records import MESSAGE
from .injector import Injector, Target, check_target, pickled

__all__ = ["ProcessFaults"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

STOP_SECONDS = 5.0
"""For the kernel to stop every thread of a process."""

MOST_DESCRIPTORS = 1 << 20

SIGN_OF_LIFE_SECONDS = 1.5
"""A worker gives one every second: at the beginning of a pause the last may be so old."""


class ProcessFaults(Injector):
    """The faults of a worker or the primary, from outside or within."""

    # Ends

    def kill(self, target: Target, which: int | str = signal.SIGKILL) -> None:
        """Send a signal; SIGKILL loses what coverage had measured in that process.

        :param which: ``signal.SIGTERM``, ``15``, ``"SIGTERM"`` or ``"TERM"``.
        :raises OptionError: there is no such signal, or no such target.
        :raises ProcessGone: it has ended already.
        """
        check_target(target)
        target.check_alive()
        number = signal_number(which)
        self._count()
        if isinstance(target, WorkerProxy):
            target.kill(number)
        else:
            target.signal(number)

    def stop(self, target: Target) -> None:
        """Send SIGTERM: a graceful end."""
        self.kill(target, signal.SIGTERM)

    def disconnect(self, worker: WorkerProxy) -> None:
        """Let the primary disconnect a worker."""
        if not isinstance(worker, WorkerProxy):
            raise FaultError("the primary has no primary that could disconnect it: use cluster.disconnect() or stop()")
        worker.check_alive()
        self._count()
        worker.disconnect()

    def exit(self, target: Target, code: int = 1) -> None:
        """End a process at once from within, as ``os._exit(code)`` does.

        :param code: 0 to 255.
        :raises OptionError: it is none of these.
        """
        check_target(target)
        check_count("exit(code)", code, 0, 255)
        self._note(target, f"exit({code}) in", ends=True)
        target.ask("exit", code)

    def crash(self, worker: WorkerProxy, error: BaseException | None = None) -> None:
        """Let a worker's main loop raise; gunicorn logs it, and the worker ends with exit code 255.

        :param error: of a class that the worker can import (default: ``RuntimeError("injected by the test")``).
        :raises OptionError: it is no error.
        :raises FaultError: the worker cannot have it, and goes on.
        """
        if not isinstance(worker, WorkerProxy):
            raise FaultError("the primary has no main loop that a test can break: use exit() or kill()")
        if error is not None and not isinstance(error, BaseException):
            raise OptionError(f"crash(error): expected an error, got {error!r:.100}")
        sent = pickled(error or RuntimeError(MESSAGE), "the error")
        entry = self._note(worker, "crash of", ends=True)
        try:
            worker.ask("crash", sent)
        except (ImportError, AttributeError, TypeError) as problem:
            self._note_end(entry)
            raise FaultError(f"{worker.title} cannot have the error {error!r:.100}: {problem}") from problem

    # Stuck

    @contextlib.contextmanager
    def paused(self, target: Target, *, longer_than_timeout: bool = False) -> Iterator[None]:
        """Stop a process (SIGSTOP) for the time of a block.

        :param longer_than_timeout: let the block take longer than gunicorn's ``timeout``, so that the arbiter kills
            the worker.
        :raises FaultError: the block took too long; the worker was resumed before the arbiter would have killed it.
        """
        check_target(target)
        target.check_alive()
        pid = target.pid
        limit = self._options.worker_timeout - SIGN_OF_LIFE_SECONDS
        guarded = isinstance(target, WorkerProxy) and limit > 0 and not longer_than_timeout

        def resume() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

        with self._lasting(target, "SIGSTOP to", resume), _at_latest(limit if guarded else None, resume) as overdue:
            with target.reached():
                os.kill(pid, signal.SIGSTOP)
            poll(lambda: is_stopped(pid), STOP_SECONDS)
            yield
        if overdue.is_set():
            raise FaultError(
                f"{target.title} was paused for more than {limit:g} s and resumed, because gunicorn's timeout is "
                f"{self._options.worker_timeout:g} s: raise settings={{'timeout': …}}, or say longer_than_timeout=True"
            )

    @contextlib.contextmanager
    def hang(self, target: Target) -> Iterator[None]:
        """Block a process' loop for the time of a block: no greenlet runs, and no Python but signal handlers."""
        check_target(target)
        target.check_alive()
        marker = os.path.join(self._server.folder, f"hang-{secrets.token_hex(4)}")
        with open(marker, "w", encoding="ascii"):
            pass

        def let_go() -> None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(marker)

        with self._lasting(target, "hang of", let_go):
            target.ask("hang", marker)
            yield

    block_hub = hang

    # Limits

    @contextlib.contextmanager
    def fd_limit(self, target: Target, spare: int = 0) -> Iterator[None]:
        """Leave a process only *spare* descriptors beyond those it has, for the time of a block.

        :raises OptionError: *spare* is no number of descriptors.
        """
        check_target(target)
        check_count("fd_limit(spare)", spare, 0, MOST_DESCRIPTORS)
        target.check_alive()
        pid = target.pid
        with target.reached():
            before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            limit = _limit_that_leaves(spare, [int(name) for name in os.listdir(f"/proc/{pid}/fd")])

        def restore() -> None:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, before)

        with self._lasting(target, f"fd_limit({spare}) of", restore):
            with target.reached():
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(limit, before[0]), before[1]))
            yield


@contextlib.contextmanager
def _at_latest(seconds: float | None, act: Callable[[], None]) -> Iterator[threading.Event]:
    """Call *act* when a block has taken so long; the event says whether that was so."""
    overdue = threading.Event()

    def give_up() -> None:
        overdue.set()
        act()

    timer = threading.Timer(seconds or 0.0, give_up)
    timer.daemon = True
    if seconds is not None:
        timer.start()
    try:
        yield overdue
    finally:
        timer.cancel()


def _limit_that_leaves(spare: int, used: list[int]) -> int:
    # The limit is on the highest number, not on how many: numbers below it that are free count as well.
    free = (number for number in range(len(used) + spare + 1) if number not in used)
    for _ in range(spare):
        next(free)
    return max(1, next(free))
