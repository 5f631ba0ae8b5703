"""Accept on one listening socket of the primary, and feed its dispatcher; on the dealer's thread.

It watches its socket only while the dispatcher wants connections, so with nobody to serve them, or with
the queue at its bound, clients wait in the kernel's backlog, where they cost nothing and where another
master (USR2, WINCH) can take them.  Where enough wait here already, it leaves more of them there for a moment
(:mod:`holding_back`).

No user code runs here, and nothing waits.  Running out of descriptors or memory, and whatever else may pass, pauses
accepting for a moment that doubles up to a second; it is logged once for each episode, and the loop never spins on it.
"""

from __future__ import annotations

import _socket
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..base.log import Log
from ..base.records import Connection, PeerAddress, ServedAddress
from ..machine.accept_errors import HOPELESS, TRANSIENT
from ..machine.letting_go import let_go
from ..machine.peeking import MOST_PEEKED, is_hung_up, peek
from .dealing_loop import READABLE, DealingLoop
from .dispatcher import Dispatcher
from .handed import close_connection, share_of_descriptors
from .holding_back import ACCEPTS_PER_TURN, ENOUGH, FEW, HoldingBack
from .policies import Policy

if TYPE_CHECKING:
    from .policy_thread import PolicyThread

__all__ = ["Listener"]

_GROWTH: Final = 1.25
_MOST_AT_CLOSE: Final = 8192
_FIRST_DELAY: Final = 0.05
_LONGEST_DELAY: Final = 1.0
_SHARE_OF_BEGUN: Final = 4  # of the descriptors of this process, for each worker
_EPISODE_SECONDS: Final = 1.0  # without a failure: the episode is over


class Listener(HoldingBack):
    """Accepts on one socket for the workers that serve it.

    Args:
        sock: a listening, non-blocking socket.  It is borrowed: its owner closes it.
        served: its number and address, as workers know them.
        loop: the dealer's loop.
        log: told when accepting has to pause; must not wait.
        policy: chooses the worker for each connection.
        deliver: sends a connection of a listener (its number) to a worker (its id); ``False`` means that the worker is
            out of reach.
        find_idle: finds out which workers have become idle, and says so to the dispatchers.
        limit: bound of the connections that wait in the primary.

    Attributes:
        dispatcher: decides which worker gets a connection.
        is_open: whether it accepts, or will again.
        needs_all_idle: whether the policy is to see every worker that is idle, not only one.
        look: given what has come of a connection; returns the worker that it belongs to, 0 for anybody.
        has_quick_look: whether ``look`` looks for sessions of Engine.IO alone, which C does itself.
        client_of: given what has come of a connection; returns the address of the client that a proxy speaks for, if
            it says so.
        policy_thread: asks the program's policy, if that deals here.
    """

    def __init__(
        self,
        sock: _socket.socket,
        served: ServedAddress,
        loop: DealingLoop,
        log: Log,
        policy: Policy,
        deliver: Callable[[int, int, Connection], bool],
        find_idle: Callable[[], None],
        limit: int,
    ) -> None:
        super().__init__(sock.fileno(), served.family, loop)
        self.served = served
        # gevent hides the C socket of a patched process behind ``_sock``.
        self._sock: Any = getattr(sock, "_sock", sock)
        self._log = log
        self._find_idle = find_idle
        self.needs_all_idle = False
        self.look: Callable[[bytes], int] | None = None
        self.has_quick_look = False
        self.client_of: Callable[[bytes], str | None] | None = None
        self.policy_thread: PolicyThread | None = None
        self._limit = limit
        self.is_open = True
        self._replaced = False
        self._batch = 1.0
        self._paused = False
        self._failures = 0
        self._delay = 0.0  # of the pauses of this episode; 0 while accepting works
        self.dispatcher = Dispatcher(
            policy,
            partial(deliver, served.listener_id),
            _release,
            limit,
            _is_gone,
            most_begun=max(limit, share_of_descriptors(_SHARE_OF_BEGUN)),
        )

    @property
    def waiting(self) -> tuple[Connection, ...]:
        """The connections that no worker has been offered, the oldest first."""
        return self.dispatcher.queue

    # --- what waits for too long ----------------------------------------------------------------

    def drop_those_that_left(self, waited: Iterable[Connection]) -> int:
        """Close those of ``waited`` whose client has left; return how many were closed since the last call.

        They are looked at again before they are handed out.
        """
        self.dispatcher.has_waited(waited)
        return self._count_dropped()

    def drop(self, connections: Collection[Connection]) -> int:
        """Close connections that wait; return how many that were."""
        self.dispatcher.drop(connections)
        return self._count_dropped()

    def abandon(self) -> None:
        """In a forked child: close the inherited copies of connections, or their clients never see an end."""
        self.dispatcher.close()
        self.accepting = None
        if self.policy_thread is not None:
            self.policy_thread.abandon()

    def _count_dropped(self) -> int:
        count, self.dispatcher.dropped = self.dispatcher.dropped, 0
        if count:
            self.update()
        return count

    # --- accepting -----------------------------------------------------------------------------

    def update(self) -> None:
        """Watch the socket if, and only if, the dispatcher wants connections."""
        wanted = self.is_open and not self._paused and self.dispatcher.wants_connections
        if self._replaced and not self.dispatcher.members:
            self.dispatcher.close()  # nobody serves this address any more, and nobody will
        if wanted is self.is_watching:
            return
        self.holds_back = False
        if wanted:
            self._watch(READABLE)
        else:
            self._loop.unwatch(self._fd)
        self.is_watching = wanted

    def accept_in_c(self, make: Callable[[Any, Dispatcher, tuple[int, int, int, int]], Any]) -> None:
        """Accept in C from now on.

        Args:
            make: makes what does it, of the socket, the dispatcher, and how many: are accepted at once, are the bound
                of those that wait, are enough to hold back, and are few.
        """
        self.accepting = make(self._sock, self.dispatcher, (ACCEPTS_PER_TURN, self._limit, ENOUGH, FEW))

    def stop_accepting(self, take_backlog: bool) -> None:
        """Accept no more, so that the owner may close the socket.

        Args:
            take_backlog: first accept what the kernel has already completed, whatever the bound, since
                closing the socket would reset those clients.
        """
        if take_backlog and self.is_open and self.dispatcher.members:
            for _ in range(_MOST_AT_CLOSE):
                if not self._accept_one():
                    break
        self.is_open = False
        self.update()

    def replace(self) -> None:
        """Accept no more here for good: the workers that serve it now are the last."""
        self._replaced = True
        self.stop_accepting(take_backlog=True)

    def serve_again(self) -> None:
        """Undo :meth:`replace`, if that was called: those that were to serve it last go on."""
        if self._replaced:
            self.is_open, self._replaced = True, False
            self.update()

    def close(self) -> None:
        """Accept no more and close every connection that waits."""
        self.stop_accepting(take_backlog=False)
        self.dispatcher.close()
        self.accepting = None
        if self.policy_thread is not None:
            self.policy_thread.close()
            self.policy_thread = None

    def _readable(self, _: int) -> None:
        # One at first, more while they keep coming: an accept that finds nobody costs as much as one that does.
        if not self._accept(self._batch):
            self._batch = 1.0
        elif self._batch <= ACCEPTS_PER_TURN - 1:
            self._batch *= _GROWTH
        if self.may_hold_back and self.is_watching and self.dispatcher.is_saturated(ENOUGH):
            self._hold_back()

    def _accept(self, most: float) -> bool:
        """Accept so many; ``False`` when there are not, or fewer are wanted."""
        accepted, dispatcher = 0, self.dispatcher
        while accepted < most:
            if not dispatcher.wants_connections:
                self._find_idle()
                if not dispatcher.wants_connections:
                    self.update()
                    return False
            if not self._accept_one():
                return False
            accepted += 1
        return True

    def _accept_one(self) -> bool:
        """Accept one connection; ``False`` when there is none, or none can be had."""
        try:
            fd, peer = self._sock._accept()  # the descriptor, without a socket object around it
        except BlockingIOError:
            return False
        except OSError as error:
            return self._failed(error)
        if self._delay:
            self._delay = _FIRST_DELAY  # some come back: the next pause is short, the episode goes on
        try:
            if self.needs_all_idle or not (self.dispatcher.idle_workers or self.dispatcher.pending):
                self._find_idle()  # while some wait, the loop is told which workers become idle
            is_anybodys = self.client_of is None and (self.look is None or not self.dispatcher.has_several)
            connection = Connection(fd, peer) if is_anybodys else self._with_target(fd, peer)
        except BaseException:
            let_go(fd)
            raise
        self.dispatcher.add(connection)
        return True

    def _with_target(self, fd: int, peer: PeerAddress) -> Connection:
        """Peek, once and without waiting, at what has come of a connection, and find the worker it belongs to."""
        data = peek(fd, MOST_PEEKED)
        if not data:
            return Connection(fd, peer)
        if self.client_of is not None:
            client = self.client_of(data)
            peer = peer if client is None else (client, 0)
        target = 0 if self.look is None else self.look(data)
        if not target:
            return Connection(fd, peer)
        if target not in self.dispatcher.idle_workers:
            self._find_idle()  # it may have taken its last offer: then this one need not wait
        return Connection(fd, peer, -1, target)

    def _failed(self, error: OSError) -> bool:
        if error.errno in TRANSIENT:
            return True
        if error.errno in HOPELESS:
            self._log.error("Accepting on %s failed, no longer accepting there: %s", self.served.name, error)
            self.is_open = False
            self.update()
            return False
        if not self._delay:
            self._log.error(
                "Cannot accept on %s: %s. Clients wait in the backlog; trying again until it works.",
                self.served.name,
                error,
            )
        self._delay = min(self._delay * 2 or _FIRST_DELAY, _LONGEST_DELAY)
        self._paused = True
        self._failures += 1
        self._loop.call_later(self._delay, self._resume)
        self.update()
        return False

    def _resume(self) -> None:
        self._paused = False
        self._loop.call_later(_EPISODE_SECONDS, self._settled, self._failures)
        self.update()

    def _settled(self, failures: int) -> None:
        if failures == self._failures and self._delay:
            self._log.info("Accepting on %s again", self.served.name)
            self._delay = 0.0


def _release(connection: Connection) -> None:
    close_connection(connection)


def _is_gone(connection: Connection) -> bool:
    """Whether the client has left: it cannot be answered, or the end of its connection is there and nothing before it.

    One that has sent its request and shut its writing side is still there to read the answer.
    """
    if is_hung_up(connection.fd):
        return True
    return connection.head < 0 and peek(connection.fd, 1) == b""  # with a head, something was before the end
