"""Deal connections on a thread of its own, beside the arbiter's: whatever that waits for, connections flow.

Theory of operation
-------------------
The ``engine`` deals; this is the one door to it.  A *short lock* is all that the two threads share: the dealing thread
holds it while it acts on events, never while it waits, and every method here takes it for a moment.  So the arbiter
tells and asks as if there were no thread (a worker listens, leaves, is gone; a listener comes and goes; how many
wait), and is answered at once.  What the engine has to tell goes the other way by the arbiter's loop, on a later turn:
it logs there, and handlers run there.

The thread ends for every fork and begins again behind it (``helper_thread``), so a child has one thread and the lock
is free in it.  In the child :meth:`Dealer.abandon` closes what is the primary's.

Should the thread die of a fault of ours, that is said loudly, and the arbiter's loop deals by itself from then on.
It does so from the beginning where nobody calls :meth:`Dealer.run_beside`: in tests of one process.

Both threads run Python, so one waits for the other's interpreter lock.  :data:`SWITCH_SECONDS` is how long, where the
arbiter computes; Python's own 5 ms would be waited for at each system call.  Where somebody keeps that lock in C, a
:mod:`~nodecluster_compat.connections.standby` deals.
"""

from __future__ import annotations

import _socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from ..base.log import Log
from ..base.records import ServedAddress
from ..machine.helper_thread import HelperThread
from .dealing_loop import DealingLoop
from .engine import Engine
from .kernel_check import kernel_tells_what_was_taken
from .offers import OfferingEnd
from .policies import PolicyFactory
from .waiting import QueueStatus, QueueWatch

if TYPE_CHECKING:
    from ..base.loop import Loop
    from ..base.timers import Timer
    from ..errors import FrameError

__all__ = ["SWITCH_SECONDS", "Dealer"]

SWITCH_SECONDS: Final = 0.0001
_REST_SECONDS: Final = 0.05


class Dealer:
    """Deals the connections of all listeners of the primary.

    Args:
        loop: the arbiter's.
        log: told, on the arbiter's loop, what goes wrong.
        make_policy: makes the policy of each listener.
        limit: bound of the accepted connections that wait, for each listener.
        left: called on the arbiter's loop with a worker (its id) that takes no more.
        closed: called there with a worker whose channel is closed, and why; ``None`` for the end of the stream.

    Attributes:
        later_log: for whoever is called by the dealing thread: written on a later turn of the arbiter's loop.
    """

    def __init__(
        self,
        loop: Loop,
        log: Log,
        make_policy: PolicyFactory,
        limit: int,
        left: Callable[[int], None],
        closed: Callable[[int, FrameError | None], None],
    ) -> None:
        self._loop = loop
        self._log = log
        self._make_policy = make_policy
        self._dealing = DealingLoop()
        self.later_log: Log = _LaterLog(loop, log)
        self._engine = Engine(
            self._dealing,
            self.later_log,
            make_policy,
            limit,
            not kernel_tells_what_was_taken(),
            lambda worker_id: loop.call_soon_threadsafe(left, worker_id),
            lambda worker_id, error: loop.call_soon_threadsafe(closed, worker_id, error),
        )
        self._queues = QueueWatch(self._engine.listeners, self.later_log)
        self._thread = HelperThread("dealer", self._deal, self._dealing.wake, self._died, is_urgent=True)
        self._switch_seconds = sys.getswitchinterval()
        self._is_here = False
        self._may_run_beside = False
        self._is_held = False
        self._is_resting = False
        self._told: set[str] = set()
        self._timer: Timer | None = None
        self._deal_here()

    # --- who deals -----------------------------------------------------------------------------

    @property
    def is_beside(self) -> bool:
        """Whether a thread of its own deals."""
        return self._thread.is_running

    def run_beside(self) -> None:
        """Deal on a thread of its own from now on, if there is anything to deal."""
        self._may_run_beside = True
        if len(self._engine.listeners):
            self._begin_beside()

    def _begin_beside(self) -> None:
        if not self._is_here:
            return
        self._is_here = self._is_resting = False
        self._loop.remove_reader(self._dealing.fileno())
        self._dealing.on_sooner = self._dealing.wake
        sys.setswitchinterval(SWITCH_SECONDS)
        self._thread.start()

    def _deal(self) -> None:
        with self._stood_by():
            while not self._thread.is_stopping:
                self._dealing.take_turn(True)

    @contextmanager
    def _stood_by(self) -> Iterator[None]:
        standby = self._engine.standby
        try:
            with self._dealing.lock:
                standby.start()
                self._engine.arm()  # for what was noted as the thread ended the last time
                standby.brief()
            yield
        finally:
            with self._dealing.lock:
                try:
                    standby.relieve()
                finally:
                    standby.stop()

    def _died(self, error: BaseException) -> None:
        self._loop.call_soon_threadsafe(self._go_on_here, error)

    def _go_on_here(self, error: BaseException) -> None:
        self._log.error(
            "The thread that deals connections has died, or could not begin: %r. The arbiter deals them from now on, "
            "and clients wait for whatever it waits for. If it has died, please report this.",
            error,
            exc_info=error,
        )
        sys.setswitchinterval(self._switch_seconds)
        self._may_run_beside = False
        self._deal_here()

    def _deal_here(self) -> None:
        self._is_here, self._is_resting = True, False
        self._dealing.on_sooner = self._set_timer
        self._loop.add_reader(self._dealing.fileno(), self._turn_here)
        self._turn_here()

    def _turn_here(self) -> None:
        if not self._is_here or self._is_resting:
            return
        try:
            self._dealing.turn(waits=False)
        except Exception as error:  # noqa: BLE001 - what lasts would come with every turn
            self._rest_after(error)
        else:
            self._set_timer()

    def _rest_after(self, error: Exception) -> None:
        """Deal no more for a moment, and report each fault once."""
        self._is_resting = True
        if repr(error) not in self._told:
            self._told.add(repr(error))
            self._log.error("Dealing connections failed: %r. Trying again.", error, exc_info=error)
        self._loop.remove_reader(self._dealing.fileno())
        self._loop.call_later(_REST_SECONDS, self._rested)

    def _rested(self) -> None:
        if self._is_resting:  # or a thread deals by now
            self._deal_here()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        seconds = self._dealing.seconds_to_timer
        self._timer = None if seconds is None else self._loop.call_later(seconds, self._turn_here)

    # --- listeners -----------------------------------------------------------------------------

    def next_id(self) -> int:
        """Return a number that no listener has or will have."""
        with self.held() as engine:
            return engine.listeners.next_id()

    def add(self, sock: _socket.socket, family: int) -> ServedAddress:
        """Serve a listening socket: its connections go to the workers that join it."""
        with self.held() as engine:
            served = engine.add(sock, family)
        if self._may_run_beside:
            self._begin_beside()
        return served

    def use_policy(self, make_policy: PolicyFactory) -> None:
        """Deal by another policy from now on; a no-op for the one that is in use."""
        if make_policy is not self._make_policy:
            self._make_policy = make_policy
            with self.held() as engine:
                engine.listeners.use_policy(make_policy)

    def count_by(
        self, ended: Callable[[int], int], answered: Callable[[int], int], number: Callable[[int], object]
    ) -> None:
        """Ask how many connections of a worker (its id) have ended, and how many requests it has answered.

        Args:
            ended, answered: must not wait, on whatever thread.
            number: returns how C may read the first of a worker that is enrolled, or ``None``.
        """
        with self.held() as engine:
            engine.listeners.count_ended = ended
            engine.listeners.number_of_ended = number
            engine.count_answered = answered

    def look_by(self, look: Callable[[bytes], int] | None) -> None:
        """Look at new connections by ``look`` where workers route: whose (an id) are these bytes? 0 for anybody's."""
        with self.held() as engine:
            engine.listeners.look = look
            engine.listeners.tell_to_look()

    def name_clients_by(self, client_of: Callable[[bytes], str | None] | None) -> None:
        """Deal by the addresses that a proxy in front names: ``client_of`` finds them in what has come."""
        with self.held() as engine:
            engine.listeners.client_of = client_of
            engine.listeners.tell_to_look()

    def members(self) -> dict[int, int]:
        """Return the workers that serve, by slot; on the dealing thread only."""
        return self._engine.members.ids

    def remove(self, listener_id: int) -> None:
        """Accept no more on this listener and reset what waits: nobody serves it any more."""
        with self.held() as engine:
            engine.listeners.remove(listener_id)

    def stop_accepting(self, take_backlog: bool) -> None:
        """Accept no more on any listener, so that the owner may close the sockets.

        Args:
            take_backlog: first accept what the kernel has already completed, whatever the bound, since closing a
                socket would reset those clients.
        """
        with self.held() as engine:
            for listener in engine.listeners:
                listener.stop_accepting(take_backlog)

    def replace(self, listener_id: int) -> None:
        """Accept no more on this listener for good: the workers that serve it now are the last."""
        with self.held() as engine:
            engine.listeners[listener_id].replace()

    def serve_again(self, listener_id: int) -> None:
        """Undo :meth:`replace`, if that was called: those that were to serve the listener last go on."""
        with self.held() as engine:
            engine.listeners[listener_id].serve_again()

    def close(self) -> None:
        """Accept no more, close what waits, and end the thread."""
        with self.held() as engine:
            for listener in engine.listeners:
                listener.close()
        self._is_here = self._is_resting = False
        self._thread.stop()

    # --- workers -------------------------------------------------------------------------------

    def enrol(self, end: OfferingEnd, pid: int) -> None:
        """A worker has a process: its channel is used from now on."""
        self._tell(lambda engine: engine.enrol(end, pid))

    def join(self, worker_id: int, listener_id: int) -> None:
        """The worker serves this listener from now on; a number that is none of ours is ignored."""
        self._tell(lambda engine: engine.join(worker_id, listener_id))

    def leave_one(self, worker_id: int, listener_id: int) -> None:
        """The worker takes no further connections of this listener."""
        self._tell(lambda engine: engine.leave_one(worker_id, listener_id))

    def leave(self, worker_id: int) -> None:
        """The worker takes no further connections; what it was offered it may still take."""
        self._tell(lambda engine: engine.leave(worker_id))

    def lost(self, worker_id: int) -> None:
        """The worker is gone, or its channel: what it has not taken goes to others.  A no-op for an unknown one."""
        self._tell(lambda engine: engine.lost(worker_id))

    def _tell(self, what: Callable[[Engine], None]) -> None:
        """Do something, or put it off while the engine is held: a signal's handler has interrupted whoever holds it."""
        if self._is_changing:
            self._loop.call_soon(self._tell, what)
        else:
            with self.held() as engine:
                what(engine)

    # --- what is so ----------------------------------------------------------------------------

    @property
    def asks(self) -> bool:
        """Whether workers answer offers, because the kernel does not tell what was taken."""
        return not kernel_tells_what_was_taken()

    def waiting_connections(self) -> int:
        """Return how many accepted connections no worker has taken yet."""
        looks = not self._is_changing
        with self.held() as engine:
            return sum(engine.unsettled(listener.served.listener_id, looks=looks) for listener in engine.listeners)

    def unsettled(self, listener_id: int) -> int:
        """Return how many connections of a listener no worker has taken yet."""
        looks = not self._is_changing
        with self.held() as engine:
            return engine.unsettled(listener_id, looks=looks)

    def members_reader(self) -> Callable[[], dict[int, int]]:
        """In a forked child: return what says who serves, by slot, whatever becomes of the primary's descriptors."""
        return self._engine.members.reader()

    def queue_status(self) -> QueueStatus:
        """Return how many connections wait, and how many no longer do."""
        with self.held():
            return self._queues.status

    def sample_queues(self, now: float, limit: float) -> None:
        """Look at every connection that waits; see :class:`~nodecluster_compat.connections.waiting.QueueWatch`."""
        with self.held():
            self._queues.sample(now, limit)

    @contextmanager
    def held(self) -> Iterator[Engine]:
        """Hold dealing for a moment, to see or change several things at once; wait for nothing meanwhile.

        Only the arbiter's thread may.  A handler of a signal that has interrupted it here sees what is so, and must
        change nothing: perhaps a change has been interrupted.
        """
        is_within, was_held = self._is_changing, self._is_held
        self._is_held = True
        try:
            with self._dealing.lock:
                self._engine.standby.relieve()
                yield self._engine
                if not is_within:
                    self._engine.arm()
                    self._engine.standby.brief()
        finally:
            self._is_held = was_held

    @property
    def _is_changing(self) -> bool:
        """On the arbiter's thread: whether it is changing something here, and a handler of a signal asks."""
        return self._is_held or (self._is_here and self._dealing.is_in_turn)

    def abandon(self) -> None:
        """In a forked child: close the inherited copies of what is the primary's.

        Connections that wait are among them, or their clients would never see an end.
        """
        if not self._is_here:
            sys.setswitchinterval(self._switch_seconds)
        self._engine.abandon()
        self._dealing.close()


class _LaterLog:
    """A log that another thread writes, on a later turn of its loop; without arguments it may hold nobody up."""

    def __init__(self, loop: Loop, log: Log) -> None:
        self._loop = loop
        self._log = log

    def __getattr__(self, name: str) -> Callable[..., None]:
        method: Callable[..., Any] = getattr(self._log, name)
        return lambda *args, **kwargs: self._loop.call_soon_threadsafe(lambda: method(*args, **kwargs))
