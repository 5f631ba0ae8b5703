"""Breaking a cluster on purpose.

Each fault is in the journal as *injected* before it happens, so that a report can tell what the test did from what
the cluster did. Whatever lasts (a pause, a failpoint, a limit) is undone at the end of its block or of the test,
whichever comes first; where it could have ended a process, the journal has its end as well.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import resource
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .entries import JournalEntry, worker_id
from .errors import FaultError
from .failpoints import Action, Failpoints, check_step
from .gates import Gate
from .launcher import ServerProcess
from .options import ClusterOptions
from .primary import PrimaryProxy
from .remote import function_record
from .undoing import Undoing
from .wire import Delay, Do, End, Fail, Failpoint, Hold
from .worker import WorkerProxy

__all__ = ["BOOT_FAILURES", "Faults"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

Target = WorkerProxy | PrimaryProxy

SIGN_OF_LIFE_SECONDS = 1.5
"""A worker gives one every second: at the beginning of a pause the last may be so old."""

MESSAGE = "injected by the test"


def _raises(error: Exception, times: int | None = None) -> Fail:
    return Fail(times, error=pickle.dumps(error))


BOOT_FAILURES: Mapping[str, tuple[str, Action]] = {
    "import": ("boot", _raises(ImportError("injected: the application does not import"))),
    "exit": ("boot", End(code=1)),
    "kill": ("boot", End(signal=signal.SIGKILL)),
    "hang": ("boot", Hold()),
    "late": ("ready", _raises(RuntimeError("injected: loaded, and then not ready"))),
}
"""What :meth:`Faults.boot_failure` can do, by name: the step, and what happens there."""


class Faults:
    """The faults of one cluster: ``cluster_faults``, or ``cluster.faults``.

    A *target* is a worker (``cluster.workers[0]``) or the primary (``cluster.primary``).  Where a fault is one of
    workers, ``worker=`` takes a worker, or an id, also of one that is to come; without it, it is a fault of all, and
    of those that come later.

    Everything here raises :class:`ProcessGone` when its target has ended already.
    """

    def __init__(self, server: ServerProcess, options: ClusterOptions) -> None:
        self._server = server
        self._options = options
        self._failpoints = Failpoints(server)
        self._undoing = Undoing()
        self.injected = 0

    # Ends

    def kill(self, target: Target, which: int | str = signal.SIGKILL) -> None:
        """Send a signal; SIGKILL loses what coverage had measured in that process.

        :param which: ``signal.SIGTERM``, ``15``, ``"SIGTERM"`` or ``"TERM"``.
        :raises OptionError: there is no such signal.
        """
        self.injected += 1
        if isinstance(target, WorkerProxy):
            target.kill(which)
        else:
            target.signal(which)

    def stop(self, target: Target) -> None:
        """Send SIGTERM: a graceful end."""
        self.kill(target, signal.SIGTERM)

    def disconnect(self, worker: WorkerProxy) -> None:
        """Let the primary disconnect a worker."""
        if not isinstance(worker, WorkerProxy):
            raise FaultError("the primary has no primary that could disconnect it: use cluster.disconnect() or stop()")
        self.injected += 1
        worker.disconnect()

    def exit(self, target: Target, code: int = 1) -> None:
        """End a process at once from within, as ``os._exit(code)`` does."""
        self._note(target, f"exit({code}) in", ends=True)
        target.ask("exit", code)

    def crash(self, worker: WorkerProxy, error: BaseException | None = None) -> None:
        """Let a worker's main loop raise; gunicorn logs it, and the worker ends with exit code 255.

        :param error: of a class that the worker can import (default: ``RuntimeError("injected by the test")``).
        :raises FaultError: the worker cannot have it, and goes on.
        """
        if not isinstance(worker, WorkerProxy):
            raise FaultError("the primary has no main loop that a test can break: use exit() or kill()")
        pickled = _pickled(error or RuntimeError(MESSAGE), "the error")
        entry = self._note(worker, "crash of", ends=True)
        try:
            worker.ask("crash", pickled)
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
        target.check_alive()
        pid = target.pid
        limit = self._options.worker_timeout - SIGN_OF_LIFE_SECONDS
        guarded = isinstance(target, WorkerProxy) and limit > 0 and not longer_than_timeout

        def resume() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

        with self._lasting(target, "SIGSTOP to", resume), _at_latest(limit if guarded else None, resume) as overdue:
            os.kill(pid, signal.SIGSTOP)
            yield
        if overdue.is_set():
            raise FaultError(
                f"{target.title} was paused for more than {limit:g} s and resumed, because gunicorn's timeout is "
                f"{self._options.worker_timeout:g} s: raise settings={{'timeout': …}}, or say longer_than_timeout=True"
            )

    @contextlib.contextmanager
    def hang(self, target: Target) -> Iterator[None]:
        """Block a process' loop for the time of a block: no greenlet runs, and no Python but signal handlers."""
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

    # Failpoints

    def slow(
        self, seconds: float, *, jitter: float = 0.0, seed: int = 0, worker: WorkerProxy | int | None = None
    ) -> None:
        """Let each request wait before the application sees it, until :meth:`undo`.

        :param seconds: how long; *jitter*: up to so much longer, by a random number of *seed*.
        """
        self._arm("request", Delay(seconds, jitter, seed), worker, f"slow by {seconds:g} s in", harmless=True)

    def fail_next(
        self,
        times: int = 1,
        *,
        status: int | None = None,
        error: type[Exception] | Exception | None = None,
        worker: WorkerProxy | int | None = None,
    ) -> None:
        """Let the next *times* requests fail, in each worker or in one.

        :param status: answer them with this (default: 500).
        :param error: or raise this in the worker, before the application sees them; of a class that the worker can
            import.
        :raises FaultError: the worker cannot have that error.
        """
        if error is None:
            action = Fail(times, status=status or 500)
        else:
            action = Fail(times, error=_pickled(_instance(error), "the error"))
        self._arm("request", action, worker, f"fail_next({times}) in", harmless=True)

    def boot_failure(self, how: str = "import", *, worker: int | None = None) -> None:
        """Let workers that are started from now on fail to boot, until :meth:`undo`.

        :param how: ``"import"``: the application raises; ``"exit"``, ``"kill"``: the process ends; ``"hang"``: it never
            comes up; ``"late"``: it fails after the application is loaded.
        :param worker: the id that it will have; otherwise every one.
        """
        if how not in BOOT_FAILURES:
            raise FaultError(f"expected one of {', '.join(BOOT_FAILURES)}, got {how!r}")
        step, action = BOOT_FAILURES[how]
        self._arm(step, action, worker, f"boot failure ({how}) of", only_later=True)

    def at(
        self,
        step: str,
        function: Callable[..., Any] | str,
        *args: Any,
        worker: WorkerProxy | int | None = None,
        times: int | None = 1,
    ) -> None:
        """Call *function* in a worker when that comes to a step, until :meth:`undo`: a fault of your own.

        :param step: as in :meth:`hold`, and ``"fork"`` (the first thing in the process), ``"online"`` (before it says
            so), ``"listening"`` (after it has said so).  Before ``"boot"`` nothing can wait there.
        :param function: importable there, or at the top level of the test's file; *args*: what it is given.
        :param times: so often in each worker; ``None``: always.
        :raises FaultError: nobody comes to that step, or *args* cannot be sent.
        :raises NotImportable: a worker cannot find *function*.
        """
        action = Do(function_record(function), _pickled(args, "the arguments"), times)
        self._arm(step, action, worker, f"{getattr(function, '__name__', function)} at {step} in")

    @contextlib.contextmanager
    def hold(self, step: str, *, worker: WorkerProxy | int | None = None) -> Iterator[Gate]:
        """Hold every call that comes to a step, until it is released or the block ends.

        :param step: a function of the application, ``"shop.views:charge"`` (replaced where that name is looked up, as
            ``unittest.mock.patch`` does); or ``"request"``, ``"boot"``, ``"ready"``.
        :raises FaultError: nobody comes to that step, or nothing can wait there.
        """
        with self._gate(step, worker, None) as gate:
            yield gate

    @contextlib.contextmanager
    def barrier(self, step: str, parties: int) -> Iterator[Gate]:
        """Hold calls at a step until *parties* are there, then let these go on at once; and so on.

        :raises FaultError: nobody comes to that step, or nothing can wait there.
        """
        if parties < 1:
            raise FaultError(f"expected 1 party or more, got {parties}")
        with self._gate(step, None, parties) as gate:
            yield gate

    # Limits

    @contextlib.contextmanager
    def fd_limit(self, target: Target, spare: int = 0) -> Iterator[None]:
        """Leave a process only *spare* descriptors beyond those it has, for the time of a block."""
        target.check_alive()
        pid = target.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        limit = _limit_that_leaves(spare, [int(name) for name in os.listdir(f"/proc/{pid}/fd")])

        def restore() -> None:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, before)

        with self._lasting(target, f"fd_limit({spare}) of", restore):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(limit, before[0]), before[1]))
            yield

    def undo(self) -> None:
        """End everything that still lasts.  The fixture does this."""
        self._undoing.all()

    def __repr__(self) -> str:
        return f"<faults of the cluster with primary pid {self._server.pid}: {self.injected} injected>"

    # Inside

    @contextlib.contextmanager
    def _gate(self, step: str, worker: WorkerProxy | int | None, parties: int | None) -> Iterator[Gate]:
        check_step(step, waits=True)
        entry = self._note_workers(worker, f"hold of {step} in", harmless=True)
        failpoint = self._failpoints.prepare(step, Hold(), worker_id(worker))
        gate = self._failpoints.add_gate(failpoint, parties)
        try:
            with self._undoing.after(lambda: self._disarm(failpoint, entry)):
                self._failpoints.arm(failpoint, worker)
                yield gate
        finally:
            self._failpoints.remove_gate(failpoint.id)

    def _arm(
        self,
        step: str,
        action: Action,
        worker: WorkerProxy | int | None,
        what: str,
        *,
        harmless: bool = False,
        only_later: bool = False,
    ) -> None:
        check_step(step)
        entry = self._note_workers(worker, what, harmless=harmless, only_later=only_later)
        failpoint = self._failpoints.prepare(step, action, worker_id(worker))
        self._undoing.later(lambda: self._disarm(failpoint, entry))
        if not only_later:
            self._failpoints.arm(failpoint, worker)

    def _disarm(self, failpoint: Failpoint, entry: JournalEntry) -> None:
        self._failpoints.disarm(failpoint.id)
        self._note_end(entry)

    @contextlib.contextmanager
    def _lasting(self, target: Target, what: str, undo: Callable[[], None]) -> Iterator[None]:
        """Let something last in one process for the time of a block."""
        entry = self._note(target, what)

        def end() -> None:
            undo()
            self._note_end(entry)

        with self._undoing.after(end):
            yield

    def _note(self, target: Target, what: str, *, ends: bool = False) -> JournalEntry:
        self.injected += 1
        worker = target.id if isinstance(target, WorkerProxy) else 0
        return self._server.journal.note_fault(worker, target.pid, f"{what} {target.title}", ends=ends)

    def _note_workers(
        self, worker: WorkerProxy | int | None, what: str, *, harmless: bool, only_later: bool = False
    ) -> JournalEntry:
        if isinstance(worker, WorkerProxy):
            worker.check_alive()
        number = worker_id(worker)
        who = f"worker {number}" if number is not None else "workers to come" if only_later else "every worker"
        pid = worker.pid if isinstance(worker, WorkerProxy) else None
        self.injected += 1
        return self._server.journal.note_fault(
            number or 0, pid, f"{what} {who}", harmless=harmless, everywhere=number is None
        )

    def _note_end(self, entry: JournalEntry) -> None:
        if not entry.harmless:
            self._server.journal.note_fault(
                entry.worker, entry.pid, f"end of {entry.detail}", harmless=True, end_of=entry.seq
            )


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


def _instance(error: type[Exception] | Exception) -> Exception:
    try:
        return error(MESSAGE) if isinstance(error, type) else error
    except TypeError as problem:
        raise FaultError(f"{error!r} cannot be made from one text ({problem}): give an error, not its class") from None


def _pickled(value: Any, what: str) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception as error:
        raise FaultError(f"{what} {value!r:.200} cannot be sent to a worker: {error}") from error
