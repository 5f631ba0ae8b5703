"""Breaking a cluster on purpose.

Each fault is in the journal as *injected* before it happens, so that a report can tell what the test did from what
the cluster did. Whatever lasts (a pause, a failpoint, a limit) is undone at the end of its block or of the test,
whichever comes first.
"""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .errors import FaultError
from .failpoints import Action, Failpoints, check_step
from .gates import Gate
from .launcher import ServerProcess
from .options import ClusterOptions
from .remote import function_record
from .wire import Delay, Do, End, Fail, Failpoint, Hold
from .worker import END_OF, PrimaryProxy, WorkerProxy

__all__ = ["BOOT_FAILURES", "Faults"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

Target = WorkerProxy | PrimaryProxy

SIGN_OF_LIFE_SECONDS = 1.5
"""A worker gives one every second: at the beginning of a pause the last may be so old."""

BOOT_FAILURES: Mapping[str, tuple[str, Action]] = {
    "import": ("boot", Fail(error="ImportError", message="injected: the application does not import")),
    "exit": ("boot", End(code=1)),
    "kill": ("boot", End(signal=signal.SIGKILL)),
    "hang": ("boot", Hold()),
    "late": ("ready", Fail(error="RuntimeError", message="injected: loaded, and then not ready")),
}
"""What :meth:`Faults.boot_failure` can do, by name: the step, and what happens there."""


class Faults:
    """The faults of one cluster: ``cluster_faults``, or ``cluster.faults``.

    A *target* is a worker (``cluster.workers[0]``) or the primary (``cluster.primary``).
    """

    def __init__(self, server: ServerProcess, options: ClusterOptions) -> None:
        self._server = server
        self._options = options
        self._failpoints = Failpoints(server)
        self._undo: dict[str, Callable[[], None]] = {}
        self.injected = 0

    # Ends

    def kill(self, target: Target, which: int | str = signal.SIGKILL) -> None:
        """Send a signal; SIGKILL loses what coverage had measured in that process."""
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

        :param error: default: ``RuntimeError("injected by the test")``.
        """
        if not isinstance(worker, WorkerProxy):
            raise FaultError("the primary has no main loop that a test can break: use exit() or kill()")
        self._note(worker, "crash of", ends=True)
        worker.ask("crash", error or RuntimeError("injected by the test"))

    # Stuck

    @contextlib.contextmanager
    def paused(self, target: Target, *, longer_than_timeout: bool = False) -> Iterator[None]:
        """Stop a process (SIGSTOP) for the time of a block.

        :param longer_than_timeout: let the block take longer than gunicorn's ``timeout``, so that the arbiter kills
            the worker.
        :raises FaultError: the block took too long; the worker was resumed before the arbiter would have killed it.
        """
        limit = self._options.worker_timeout - SIGN_OF_LIFE_SECONDS
        guarded = isinstance(target, WorkerProxy) and limit > 0 and not longer_than_timeout
        target.check_alive()
        self._note(target, "SIGSTOP to")
        pid = target.pid
        os.kill(pid, signal.SIGSTOP)
        overdue = threading.Event()

        def resume() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

        def give_up() -> None:
            overdue.set()
            resume()

        timer = threading.Timer(limit, give_up)
        timer.daemon = True
        if guarded:
            timer.start()
        try:
            with self._lasting(target, "SIGSTOP to", resume):
                yield
        finally:
            timer.cancel()
        if overdue.is_set():
            raise FaultError(
                f"{target.title} was paused for more than {limit:g} s and resumed, because gunicorn's timeout is "
                f"{self._options.worker_timeout:g} s: raise settings={{'timeout': …}}, or say longer_than_timeout=True"
            )

    @contextlib.contextmanager
    def hang(self, target: Target) -> Iterator[None]:
        """Block a process' loop for the time of a block: no greenlet runs, and no Python but signal handlers."""
        marker = os.path.join(self._server.folder, f"hang-{secrets.token_hex(4)}")
        with open(marker, "w", encoding="ascii"):
            pass

        def let_go() -> None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(marker)

        self._note(target, "hang of")
        with self._lasting(target, "hang of", let_go):
            target.ask("hang", marker)
            yield

    block_hub = hang

    # Failpoints

    def slow(self, seconds: float, *, jitter: float = 0.0, seed: int = 0, worker: WorkerProxy | None = None) -> None:
        """Let each request wait before the application sees it.

        :param seconds: how long; *jitter*: up to so much longer, by a random number of *seed*.
        :param worker: in this one only; otherwise in all, also in those that come later.
        """
        self._arm("request", Delay(seconds, jitter, seed), worker, f"slow by {seconds:g} s in")

    def fail_next(
        self,
        times: int = 1,
        *,
        status: int | None = None,
        error: type[Exception] | None = None,
        worker: WorkerProxy | None = None,
    ) -> None:
        """Let the next *times* requests fail, in each worker or in one.

        :param status: answer them with this (default: 500).
        :param error: or raise this in the worker, before the application sees them.
        """
        name = None if error is None else f"{error.__module__}.{error.__qualname__}"
        action = Fail(times, None if error else status or 500, name)
        self._arm("request", action, worker, f"fail_next({times}) in")

    def boot_failure(self, how: str = "import", *, worker: int | None = None) -> None:
        """Let workers that are started from now on fail to boot, until :meth:`undo`.

        :param how: ``"import"``: the application raises; ``"exit"``, ``"kill"``: the process ends; ``"hang"``: it never
            comes up; ``"late"``: it fails after the application is loaded.
        :param worker: the id that it will have; otherwise every one.
        """
        if how not in BOOT_FAILURES:
            raise FaultError(f"expected one of {', '.join(BOOT_FAILURES)}, got {how!r}")
        step, action = BOOT_FAILURES[how]
        self._prepare_later(step, action, worker)
        self._server.journal.note_fault(worker or 0, None, f"boot failure ({how}) of workers to come")
        self.injected += 1

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
        :param worker: in this one only; a number: in the one that will have it.
        :param times: so often in each worker; ``None``: always.
        """
        action = Do(function_record(function), args, times)
        what = f"{getattr(function, '__name__', function)} at {step} in"
        if isinstance(worker, int):
            self._prepare_later(step, action, worker)
            self._server.journal.note_fault(worker, None, f"{what} worker {worker}, which is to come")
            self.injected += 1
        else:
            self._arm(step, action, worker, what)

    @contextlib.contextmanager
    def hold(self, step: str, *, worker: WorkerProxy | None = None) -> Iterator[Gate]:
        """Hold every call that comes to a step, until it is released or the block ends.

        :param step: a function of the application, ``"shop.views:charge"`` (replaced where that name is looked up, as
            ``unittest.mock.patch`` does); or ``"request"``, ``"boot"``, ``"ready"``.
        :param worker: in this one only.
        """
        with self._gate(step, worker, None) as gate:
            yield gate

    @contextlib.contextmanager
    def barrier(self, step: str, parties: int) -> Iterator[Gate]:
        """Hold calls at a step until *parties* are there, then let them all go on at once; and so on."""
        with self._gate(step, None, parties) as gate:
            yield gate

    # Limits

    @contextlib.contextmanager
    def fd_limit(self, target: Target, spare: int = 0) -> Iterator[None]:
        """Leave a process only *spare* descriptors beyond those it has, for the time of a block."""
        target.check_alive()
        pid = target.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = [int(name) for name in os.listdir(f"/proc/{pid}/fd")]
        # The limit is on the highest number, not on how many: numbers below it that are free count as well.
        limit = next(number for number in range(before[0]) if number - len([fd for fd in used if fd < number]) >= spare)
        limit = max(limit, 1)
        self._note(target, f"fd_limit({spare}) of")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))

        def restore() -> None:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, before)

        with self._lasting(target, f"fd_limit({spare}) of", restore):
            yield

    def undo(self) -> None:
        """End everything that still lasts.  The fixture does this."""
        for name in list(self._undo):
            self._undo.pop(name)()

    def __repr__(self) -> str:
        return f"<faults of the cluster with primary pid {self._server.pid}: {self.injected} injected>"

    # Inside

    @contextlib.contextmanager
    def _gate(self, step: str, worker: WorkerProxy | None, parties: int | None) -> Iterator[Gate]:
        failpoint = self._prepare(step, Hold(), worker, f"hold of {step} in")
        gate = self._failpoints.add_gate(failpoint, parties)
        try:
            with self._undone(lambda: self._failpoints.disarm(failpoint.id)):
                self._failpoints.arm(failpoint, worker)
                yield gate
        finally:
            self._failpoints.remove_gate(failpoint.id)

    def _prepare_later(self, step: str, action: Action, worker: int | None) -> None:
        check_step(step)
        failpoint = self._failpoints.prepare(step, action, worker)
        self._undo[f"failpoint {failpoint.id}"] = lambda: self._failpoints.disarm(failpoint.id)

    def _arm(self, step: str, action: Action, worker: WorkerProxy | None, what: str) -> None:
        failpoint = self._prepare(step, action, worker, what)
        self._undo[f"failpoint {failpoint.id}"] = lambda: self._failpoints.disarm(failpoint.id)
        self._failpoints.arm(failpoint, worker)

    def _prepare(self, step: str, action: Action, worker: WorkerProxy | None, what: str) -> Failpoint:
        check_step(step)
        if worker is None:
            self._server.journal.note_fault(0, None, f"{what} every worker")
            self.injected += 1
        else:
            self._note(worker, what)
        return self._failpoints.prepare(step, action, None if worker is None else worker.id)

    @contextlib.contextmanager
    def _undone(self, undo: Callable[[], None]) -> Iterator[None]:
        """Run *undo* at the end of a block, or at the end of the test when the block never gets there."""
        key = f"block {time.monotonic()} {secrets.token_hex(2)}"
        self._undo[key] = undo
        try:
            yield
        finally:
            if self._undo.pop(key, None) is not None:
                undo()

    def _lasting(self, target: Target, what: str, undo: Callable[[], None]) -> contextlib.AbstractContextManager[None]:
        """As :meth:`_undone`, for what lasts in one process: the journal has its end as well."""
        pid = target.pid

        def end() -> None:
            undo()
            self._server.journal.note_fault(_id_of(target), pid, f"{END_OF}{what} {target.title}")

        return self._undone(end)

    def _note(self, target: Target, what: str, *, ends: bool = False) -> None:
        self.injected += 1
        self._server.journal.note_fault(_id_of(target), target.pid, f"{what} {target.title}", ends=ends)


def _id_of(target: Target) -> int:
    return target.id if isinstance(target, WorkerProxy) else 0
