"""Answer the test's calls: run a function, change failpoints, hang, crash, exit, cut channels, reload.

The agent of a primary connects to the test at once.  A worker is forked: it closes what it has inherited (the link, the
files), opens its own, greets the test, hears of its failpoints, and attaches the link to its loop as soon as it has
one.  Any other child only closes.  When the link ends, the test is gone: a primary ends its server, a worker goes on
until its primary ends.
"""

from __future__ import annotations

import inspect
import os
import pickle
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from types import FrameType
from typing import Any

from ..values import Pickled
from ..wire.files import tallies_path
from ..wire.records import (
    CLOCK_STEP,
    CONTROL_VARIABLE,
    DISK_STEP,
    TOKEN_VARIABLE,
    Call,
    End,
    Hello,
    Outcome,
    Reached,
    Reply,
)
from ..wire.tallies import Tallies
from .armed import Event
from .clock import ClockPlace
from .delivery_faults import interpose_faults
from .disk import DiskPlace
from .dumps import Dumps
from .functions import ENDS_PROCESS, outcome_of, resolve
from .hosts import Desk, Reactor, WorkerHost
from .link import Link
from .steps import Steps, end_process

__all__ = ["Agent", "PrimaryAgent", "WorkerAgent"]

_SLICE_SECONDS = 0.02


class Agent:
    """The base of the agents of primary and worker."""

    def __init__(self, worker: int | None, stacks: Callable[[FrameType | None], str] | None = None) -> None:
        path = os.environ[CONTROL_VARIABLE]
        self.folder = os.path.dirname(path)
        self.worker = worker
        self.steps = Steps(self._tell, self._wait)
        self._dumps = Dumps(self.folder, stacks)
        self._link = Link(path)
        self._kept = False
        self.steps.place(DISK_STEP, DiskPlace(self.folder))
        self.steps.place(CLOCK_STEP, ClockPlace())
        hello = Hello(os.environ[TOKEN_VARIABLE], worker, os.getpid(), _is_measured())
        for failpoint in self._link.greet(hello).failpoints:
            self.steps.arm(failpoint, early=True)

    def leave(self) -> None:
        """Close what a forked child has inherited."""
        self._link.close()
        self._dumps.leave()

    def _tell(self, record: Reached) -> None:
        self._link.send(record)

    def _wait(self, event: Event, seconds: float) -> None:
        event.wait(seconds)

    def _answer(self, call: Call, work: Callable[[], Any]) -> None:
        self._link.send(Reply(call.id, outcome_of(work)))

    async def _answer_awaited(self, call: Call, awaitable: Awaitable[Any]) -> None:
        try:
            value = await awaitable
        except ENDS_PROCESS:
            raise
        except BaseException as error:  # noqa: BLE001 - it is the caller's, in another process
            self._answer(call, partial(_raise, error))
        else:
            self._answer(call, lambda: value)

    def _arguments(self, call: Call) -> Pickled:
        return pickle.loads(call.payload)  # noqa: S301 - from the test, see wire

    def _run(self, call: Call) -> Pickled:
        function, args, kwargs = self._arguments(call)
        return resolve(function)(*args, **kwargs)

    def _change_steps(self, call: Call) -> object:
        operation, *values = self._arguments(call)
        change: Callable[..., object] = getattr(self.steps, operation)
        return change(*values)

    def _hang(self, block: Callable[[float], None], call: Call) -> None:
        """Block until the marker file is gone; the caller was answered before."""
        marker = self._arguments(call)
        self._link.send(Reply(call.id, Outcome(value=pickle.dumps(None))))
        while os.path.exists(marker):
            block(_SLICE_SECONDS)

    def _exit(self, call: Call) -> None:
        code: int = self._arguments(call)
        self._link.send(Reply(call.id, Outcome(value=pickle.dumps(None))))
        end_process(End(code=code))


class WorkerAgent(Agent):
    """The agent of a worker, which answers as soon as the worker has a loop."""

    def __init__(self, worker: int) -> None:
        super().__init__(worker)
        self.tallies = Tallies(tallies_path(self.folder))
        self._host: WorkerHost

    def leave(self) -> None:
        """Extends :class:`Agent`'s: a request that goes on in a child is counted where it began."""
        super().leave()
        self.tallies.leave()

    def connect(self, host: WorkerHost) -> None:
        """Answer calls by the worker's loop from now on."""
        self._host = host
        self._dumps.stacks = host.stacks
        interpose_faults(self.steps, host)
        self._link.attach(host, self._received, self.steps.disarm_all)

    def _wait(self, event: Event, seconds: float) -> None:
        if self._link.is_read_here and self._host.holds_thread:
            self._link.read_until(event.is_set, seconds)
        else:
            event.wait(seconds)

    def _received(self, call: Call) -> None:
        if call.operation == "steps" and self._is_wakeup(call):
            self._answer(call, partial(self._change_steps, call))  # at once: the loop may be all that still runs
        elif call.operation == "hang":
            self._hang(self._host.block, call)
        elif call.operation == "exit":
            self._exit(call)
        elif call.operation == "crash":
            self._crash(call)
        elif call.operation in ("cut", "cut_connections"):
            self._link.send(Reply(call.id, Outcome(value=pickle.dumps(None))))
            self._host.spawn(self._host.cut_channel if call.operation == "cut" else self._host.cut_connections)
        elif call.operation == "run":
            self._host.spawn(partial(self._run_and_answer, call))
        else:
            self._host.spawn(partial(self._answer, call, partial(self._change_steps, call)))

    def _run_and_answer(self, call: Call) -> None:
        """Run a function of the test's; one that is ``async def`` is awaited where this worker has an event loop."""
        results: list[Any] = []
        outcome = outcome_of(lambda: results.append(self._run(call)))
        if outcome.value is None:
            self._link.send(Reply(call.id, outcome))
        elif inspect.isawaitable(results[0]) and self._host.await_soon is not None:
            self._host.await_soon(self._answer_awaited(call, results[0]))
        else:
            self._answer(call, lambda: results[0])

    def _crash(self, call: Call) -> None:
        try:
            error = pickle.loads(self._arguments(call))  # noqa: S301 - from the test, see wire
        except Exception as problem:  # noqa: BLE001 - of a class that this process does not have
            self._answer(call, partial(_raise, problem))
            return
        self._link.send(Reply(call.id, Outcome(value=pickle.dumps(None))))
        self._host.crash(error)

    def _is_wakeup(self, call: Call) -> bool:
        return bool(self._arguments(call)[0] in ("release", "disarm"))


class PrimaryAgent(Agent):
    """The agent of a primary, which ends its server with the test."""

    def __init__(self, reactor: Reactor, desk: Desk) -> None:
        super().__init__(None)
        self._desk = desk
        self._link.attach(reactor, self._received, self._test_gone)

    def _received(self, call: Call) -> None:
        if call.operation == "hang":
            self._hang(_sleep, call)
        elif call.operation == "exit":
            self._exit(call)
        elif call.operation == "reload":
            self._begin_reload(call)
        else:
            self._answer(call, partial(self._do, call))

    def _do(self, call: Call) -> object:
        if call.operation == "run":
            return self._run(call)
        if call.operation == "keep":
            self._kept = True
            return None
        return self._desk.perform(call.operation, *(self._arguments(call) or ()))

    def _begin_reload(self, call: Call) -> None:
        def done(report: object) -> None:
            self._answer(call, lambda: report)

        outcome = outcome_of(lambda: self._desk.perform("reload", done))
        if outcome.value is None:
            self._link.send(Reply(call.id, outcome))

    def _test_gone(self) -> None:
        if not self._kept:
            self._desk.perform("end")


def _raise(error: BaseException) -> None:
    raise error


def _sleep(seconds: float) -> None:
    import time

    time.sleep(seconds)


def _is_measured() -> bool:
    coverage = sys.modules.get("coverage")
    return coverage is not None and coverage.Coverage.current() is not None
