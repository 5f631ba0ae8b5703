"""Tell how a worker leaves: it is retired, its channels close (``disconnect``), its process has ended (``exit``).

    retire ─▶ the message channel closes: disconnect ─▶ the process was reaped: exit

Invariants: ``disconnect`` comes once, and before ``exit``; everything that the worker had said is delivered before
both; what it had not taken goes to others; a process that lost its channel and does not end is killed, after a while
in which it used no processor, or at the limit.  Reaping calls :meth:`Departures.hear_out`, then
:meth:`Departures.reaped`.
"""

from __future__ import annotations

import signal as signals
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..base.log import Log
from ..machine.process_state import condition_of, seconds_run
from .worker_handle import WorkerHandle

if TYPE_CHECKING:
    from ..base.loop import Loop
    from ..base.records import ExitStatus
    from ..base.timers import Timer
    from ..connections.dealer import Dealer
    from ..connections.shared_sockets import SharedSockets
    from ..errors import ClusterError
    from ..lifecycle.registry import Registry

__all__ = ["Departures"]

_SECOND_CHANNEL_SECONDS: Final = 0.5
_UNASKED_SECONDS: Final = 2.0  # a worker that lost its channel exits at once; one that has done nothing since does not


class Departures:
    """Sees the workers of one primary off.

    Args:
        loop: the primary's.
        log: told of channels that break and of workers that do not end.
        registry: has the workers; one leaves it just before ``exit``.
        dealer: has the listening sockets that workers serve.
        shared: the sockets that they asked for.
        tell: emits an event of a worker, and of the cluster.
        grace: seconds that a worker without a channel has left to live.

    Attributes:
        when_leaving: told of a worker that is on its way out, perhaps more than once; a door for capabilities.
    """

    def __init__(
        self,
        loop: Loop,
        log: Log,
        registry: Registry[WorkerHandle],
        dealer: Dealer,
        shared: SharedSockets,
        tell: Callable[..., None],
        grace: float,
    ) -> None:
        self._loop = loop
        self._log = log
        self._registry = registry
        self._dealer = dealer
        self._shared = shared
        self._tell = tell
        self.grace = grace
        self.when_leaving: list[Callable[[WorkerHandle], None]] = []
        self._timers: dict[int, list[Timer]] = {}  # by worker, until it has ended: they would keep all of it

    def retire(self, worker: WorkerHandle) -> None:
        """No further connection for this worker; its end is asked for, not an accident."""
        if worker.exited_after_disconnect is None:
            worker.exited_after_disconnect = True
        self.leave_all(worker)

    def leave_all(self, worker: WorkerHandle) -> None:
        """Let this worker have no further connection, whichever side asked for that."""
        worker.way_out.leave()
        self._dealer.leave(worker.id)
        self._shared.lost(worker.id)
        for tell in self.when_leaving:
            tell(worker)

    # --- the end of its channels ---------------------------------------------------------------

    def closed(self, worker: WorkerHandle, error: ClusterError | None) -> None:
        """The message channel is closed: ``disconnect``."""
        if error is not None:
            self._log.error("The channel of worker %s is closed: %s", worker.id, error)
        worker.line.closed()
        worker.takes_connections = False
        worker.requests.closed()
        self._dealer.lost(worker.id)
        self._shared.lost(worker.id)
        asked = worker.exited_after_disconnect is not None
        if not asked:
            worker.exited_after_disconnect = False
        worker.lifecycle.advance("disconnect")
        self._tell(worker, "disconnect")
        if not worker.is_dead():
            # Its place is filled when it has exited, so that an exit handler's fork() finds the vacancy.
            # A signal from outside: it has taken leave of its connections, although that may not be told yet.
            if asked or worker.way_out.is_ending or worker.connections.has_left:
                self._later(worker, self.grace, self._end_if_alive, worker, self.grace)
            else:
                self._watch_exit(worker, 0.0)

    def connections_closed(self, worker: WorkerHandle, is_broken: bool) -> None:
        """The connection channel is closed; others have got what it had not taken.

        What the worker had said before counts: the dealer sees this end at once, and the arbiter reads in turn.
        """
        if worker.is_fork_told and worker.is_connected():
            worker.line.drain()
        worker.takes_connections = False
        # Without it the worker cannot serve.  In an orderly end the message channel closes right after,
        # by itself; a worker that closed only this one is disconnected here.
        self._later(worker, 0.0 if is_broken else _SECOND_CHANNEL_SECONDS, worker.line.close)

    def _later(self, worker: WorkerHandle, seconds: float, callback: Callable[..., None], *args: object) -> None:
        self._timers.setdefault(worker.id, []).append(self._loop.call_later(seconds, callback, *args))

    def _watch_exit(self, worker: WorkerHandle, waited: float) -> None:
        """Look again soon: a worker that is at work may be on its way out, on a machine that is busy."""
        seconds = min(self.grace - waited, _UNASKED_SECONDS)
        ran = seconds_run(worker.process.pid or 0)
        self._later(worker, seconds, self._end_if_idle, worker, waited + seconds, ran)

    def _end_if_idle(self, worker: WorkerHandle, waited: float, ran: float) -> None:
        pid = worker.process.pid or 0
        is_at_work = seconds_run(pid) > ran or condition_of(pid) == "in the kernel"
        if is_at_work and waited < self.grace and not worker.is_dead():
            self._watch_exit(worker, waited)
        else:
            self._end_if_alive(worker, waited)

    def _end_if_alive(self, worker: WorkerHandle, seconds: float) -> None:
        if not worker.is_dead():
            self._log.error("Worker %s has no channel and did not exit within %s s: killed", worker.id, seconds)
            worker.kill(signals.SIGKILL)

    # --- the end of its process ----------------------------------------------------------------

    def hear_out(self, worker: WorkerHandle) -> None:
        """The process has ended: everything that it had said is delivered."""
        if not worker.is_fork_told:
            self._loop.run_soon()  # it ended before the turn on which its fork would have been told
        worker.process.is_reaped = True
        self._dealer.lost(worker.id)
        worker.line.drain()

    def reaped(self, worker: WorkerHandle, status: ExitStatus) -> None:
        """The process has ended and was heard out: ``disconnect``, unless it was told, then ``exit``."""
        worker.line.close()
        for timer in self._timers.pop(worker.id, ()):
            timer.cancel()
        # Only now: at ``disconnect`` a worker is not dead yet, as in Node.
        worker.process.exit_code, worker.process.signal_code = status.code, status.signal
        if worker.exited_after_disconnect is None:
            worker.exited_after_disconnect = False
        worker.lifecycle.advance("exit")
        self._registry.remove(worker)
        self._tell(worker, "exit", status.code, status.signal)
