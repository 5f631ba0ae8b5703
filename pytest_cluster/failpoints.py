"""What is to happen at named steps: told to the workers that there are, and to those that come later.

What a new worker is told in its welcome is changed first, so that a worker that boots meanwhile is told one way or the
other (see :mod:`.control`). A worker that ends while it is told is none that could come to the step.
"""

from __future__ import annotations

import contextlib
from itertools import count

from .errors import ClusterError, FaultError, ProcessGone
from .gates import Gate
from .launcher import ServerProcess
from .waiting import scaled
from .wire import Delay, Do, End, Fail, Failpoint, Hello, Hold, Reached
from .worker import WorkerProxy

__all__ = ["Action", "Failpoints", "check_step"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

TELL_SECONDS = 5.0

SERVER_STEPS = ("fork", "online", "boot", "ready", "listening", "request")

Action = Hold | Delay | Fail | End | Do


def check_step(step: str) -> None:
    """Refuse a step that nobody ever comes to.

    :raises FaultError: it is none of the server's, and names no function.
    """
    if ":" not in step and step not in SERVER_STEPS:
        raise FaultError(
            f"expected a step of the server ({', '.join(SERVER_STEPS)}) or a function as 'package.module:name', "
            f"not {step!r}"
        )


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

    def arm(self, failpoint: Failpoint, worker: WorkerProxy | None) -> None:
        """Let it happen in the workers that there are as well.

        :raises FaultError: the step is no function that is there; it is disarmed again.
        """
        try:
            if worker is not None:
                worker.ask("steps", ("arm", failpoint))
                return
            for target in self._targets():
                with contextlib.suppress(ProcessGone):
                    target.ask("steps", ("arm", failpoint))
        except (ImportError, AttributeError, TypeError) as error:
            self.disarm(failpoint.id)
            sentence = f"cannot hold {failpoint.step}: {error}; name a function as 'package.module:name'"
            raise FaultError(sentence) from error

    def disarm(self, number: int) -> None:
        """Let it happen no more; whoever waits there goes on."""
        self._server.control.remove_failpoint(number)
        for target in self._targets():
            with contextlib.suppress(ClusterError):
                target.ask("steps", ("disarm", number), timeout=scaled(TELL_SECONDS))

    def add_gate(self, failpoint: Failpoint, parties: int | None) -> Gate:
        """Return the gate at a failpoint that holds; see :class:`Gate` for *parties*."""

        def release(pid: int, arrivals: tuple[int, ...]) -> None:
            with contextlib.suppress(ProcessGone):
                what = ("release", failpoint.id, arrivals)
                self._server.control.call(pid, "steps", what, timeout=scaled(TELL_SECONDS))

        gate = self._gates[failpoint.id] = Gate(failpoint.step, release, self._server.journal, parties)
        return gate

    def remove_gate(self, number: int) -> None:
        """Nobody looks at it any more."""
        self._gates.pop(number, None)

    def _targets(self) -> list[WorkerProxy]:
        connected = set(self._server.control.pids())
        ids = {one.worker: one.pid for one in self._server.control.hellos if one.worker is not None}
        return [WorkerProxy(self._server, one) for one, pid in ids.items() if pid in connected]

    def _reached(self, hello: Hello, reached: Reached) -> None:
        gate = self._gates.get(reached.failpoint)
        if gate is not None:
            gate.reached(hello, reached)
