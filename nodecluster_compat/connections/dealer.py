"""Give the arbiter one door to dealing, which goes on, on a thread of its own, whatever the arbiter waits for.

Theory of operation
-------------------
The ``engine`` deals; this is the one door to it.  A *short lock* is all that the two threads share: the dealing thread
holds it while it acts on events, never while it waits, and every method here takes it for a moment.  So the arbiter
tells and asks as if there were no thread (a worker listens, leaves, is gone; a listener comes and goes; how many
wait), and is answered at once.  What the engine has to tell goes the other way by the arbiter's loop, on a later turn:
it logs there, and handlers run there.

:mod:`~nodecluster_compat.connections.dealing_thread` says what becomes of the thread at a fork, and when it dies.  In
a forked child :meth:`Dealer.abandon` closes what is the primary's.
"""

from __future__ import annotations

import _socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..base.later_log import LaterLog
from ..base.log import Log
from ..base.records import ServedAddress
from .dealing_loop import DealingLoop
from .dealing_thread import DealingThread
from .engine import Engine
from .kernel_check import kernel_tells_what_was_taken
from .offers import OfferingEnd
from .policies import PolicyFactory
from .queue_watch import QueueStatus, QueueWatch

if TYPE_CHECKING:
    from ..base.loop import Loop
    from ..errors import FrameError

__all__ = ["Dealer"]


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
        self.later_log: Log = LaterLog(loop, log)
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
        self._thread = DealingThread(loop, log, self._dealing, self._engine.offers)
        self._is_held = False

    # --- who deals -----------------------------------------------------------------------------

    @property
    def is_beside(self) -> bool:
        """Whether a thread of its own deals."""
        return self._thread.is_running

    def run_beside(self) -> None:
        """Deal on a thread of its own from now on, if there is anything to deal."""
        self._thread.is_wanted = True
        if len(self._engine.listeners):
            self._thread.begin()

    # --- listeners -----------------------------------------------------------------------------

    def next_id(self) -> int:
        """Return a number that no listener has or will have."""
        with self.held() as engine:
            return engine.listeners.next_id()

    def add(self, sock: _socket.socket, family: int) -> ServedAddress:
        """Serve a listening socket: its connections go to the workers that join it."""
        with self.held() as engine:
            served = engine.add(sock, family)
        if self._thread.is_wanted:
            self._thread.begin()
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
            engine.offers.count_answered = answered

    def peek_by(self, look: Callable[[bytes], int] | None) -> None:
        """Peek at new connections where workers route: ``look`` says whose (an id) some bytes are, 0 for anybody's."""
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
        """Do something, or put it off while the engine is held: a signal's handler has interrupted its holder."""
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
        """Look at every connection that waits; see :class:`~nodecluster_compat.connections.queue_watch.QueueWatch`."""
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
                self._engine.offers.standby.reconcile()
                yield self._engine
                if not is_within:
                    self._engine.offers.arm()
                    self._engine.offers.standby.take_snapshot()
        finally:
            self._is_held = was_held

    @property
    def _is_changing(self) -> bool:
        """On the arbiter's thread: whether it is changing something here, and a handler of a signal asks."""
        return self._is_held or (self._thread.is_here and self._dealing.is_in_turn)

    def abandon(self) -> None:
        """In a forked child: close the inherited copies of what is the primary's.

        Connections that wait are among them, or their clients would never see an end.
        """
        self._thread.abandon()
        self._engine.abandon()
        self._dealing.close()
