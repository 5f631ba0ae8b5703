"""Arm failpoints at named steps, in the workers that there are and in those that come later.

The welcome of new workers is changed first, so that a worker that boots meanwhile hears of the failpoint one way or the
other (see :mod:`pytest_cluster.wire.control`).  A worker that ends while it is told cannot come to the step any more.
"""

from __future__ import annotations

import contextlib
from itertools import count

from ..errors import ClusterError, FaultError, NotImportable, OptionError, ProcessGone
from ..processes.proxy import ask_process
from ..processes.worker import WorkerProxy
from ..server.server_process import ServerProcess
from ..waiting import scaled
from ..wire.records import (
    CLOCK_STEP,
    CONNECTION_STEP,
    DISK_STEP,
    MESSAGE_STEPS,
    Action,
    Failpoint,
    Hello,
    Hold,
    Reached,
)
from ..wire.remote import value_of
from .gates import Gate

__all__ = ["Failpoints", "check_step"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

TELL_SECONDS = 5.0

SERVER_STEPS = ("fork", "online", "boot", "ready", "listening", "request", *MESSAGE_STEPS, CONNECTION_STEP)
# Where faults of their own happen, and nothing else.
_OF_FAULTS = (DISK_STEP, CLOCK_STEP)
BEFORE_ANY_LOOP = ("fork", "online")


def check_step(step: str, action: Action) -> None:
    """Refuse a step that nobody ever comes to, and one where nothing can wait.

    :raises FaultError: it is none of the server's, and names no function; or the worker has no loop there yet.
    """
    if not isinstance(step, str):
        raise OptionError(f"expected the name of a step, got {step!r:.100}")
    if ":" not in step and step not in (*SERVER_STEPS, *_OF_FAULTS):
        raise FaultError(
            f"expected a step of the server ({', '.join(SERVER_STEPS)}) or a function as 'package.module:name', "
            f"not {step!r}"
        )
    if isinstance(action, Hold) and step in BEFORE_ANY_LOOP:
        raise FaultError(f"nothing can wait at {step!r}, where a worker has no loop yet: hold 'boot', or use at()")


class Failpoints:
    """The failpoints of one cluster, by number, and the gates of those that hold."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._numbers = count(1)
        self._gates: dict[int, Gate] = {}
        server.reached = self._reached

    def prepare(self, step: str, action: Action, worker: int | None) -> Failpoint:
        """Let it happen in workers that are started from now on: in that one, or in each."""
        failpoint = Failpoint(next(self._numbers), step, action, worker)
        self._server.control.add_failpoint(failpoint)
        return failpoint

    def arm(self, failpoint: Failpoint, worker: WorkerProxy | int | None) -> None:
        """Let it happen in the workers that there are as well: in this one, or in those that it is for.

        :raises ProcessGone: *worker* has ended, or is under nobody's control.
        :raises FaultError: there is no such function, or what is to happen cannot be had there; it is disarmed again.
        """
        try:
            if isinstance(worker, WorkerProxy):
                self._tell(worker.pid, worker.title, ("arm", failpoint))
                return
            for one in self._workers():
                if failpoint.worker in (None, one.worker):
                    with contextlib.suppress(ProcessGone):
                        self._tell(one.pid, f"worker {one.worker}", ("arm", failpoint))
        except (NotImportable, ImportError, AttributeError, TypeError) as error:
            self.disarm(failpoint.id)
            raise _refused(failpoint, error) from None

    def disarm(self, number: int) -> None:
        """Let it happen no more; calls that are held there go on."""
        self._server.control.remove_failpoint(number)
        for one in self._workers():
            with contextlib.suppress(ClusterError):
                self._tell(one.pid, f"worker {one.worker}", ("disarm", number), scaled(TELL_SECONDS))

    def add_gate(self, failpoint: Failpoint, parties: int | None) -> Gate:
        """Return the gate at a failpoint that holds; see :class:`Gate` for *parties*."""

        def release(pid: int, arrivals: tuple[int, ...]) -> None:
            with contextlib.suppress(ClusterError):  # gone, or stuck: the others are let go all the same
                what = ("release", failpoint.id, arrivals)
                self._server.control.call(pid, "steps", what, timeout=scaled(TELL_SECONDS))

        gate = self._gates[failpoint.id] = Gate(failpoint.step, release, self._server.journal, parties)
        return gate

    def remove_gate(self, number: int) -> None:
        """Forget the gate of a failpoint."""
        self._gates.pop(number, None)

    def _workers(self) -> list[Hello]:
        """Return the connected workers; their hello may be ahead of the journal."""
        connected = set(self._server.control.pids())
        return [one for one in self._server.control.hellos if one.worker is not None and one.pid in connected]

    def _tell(self, pid: int, title: str, change: tuple[str, object], timeout: float | None = None) -> None:
        value_of(ask_process(self._server, pid, title, "steps", change, timeout), f"{change[0]} in {title}")

    def _reached(self, hello: Hello, reached: Reached) -> None:
        gate = self._gates.get(reached.failpoint)
        if gate is not None:
            gate.reached(hello, reached)


def _refused(failpoint: Failpoint, error: Exception) -> FaultError:
    if isinstance(failpoint.action, Hold):
        return FaultError(f"cannot hold {failpoint.step}: {error}; name a function as 'package.module:name'")
    return FaultError(f"cannot be injected at {failpoint.step}: {error}")
