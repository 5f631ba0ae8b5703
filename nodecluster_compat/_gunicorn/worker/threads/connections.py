"""Keep the connections of a thread worker: which one has a thread, waits for one, or waits for its client.

Theory of operation
-------------------
gunicorn's ``gthread`` has a thread for each request, not for each connection.  Its rules are kept, with other means:

    new ──bytes come──▶ served ──answered──▶ idle ──bytes come──▶ served
     │                     └──last answer──▶ ended
     └── 0.1 s of silence ──▶ silent ──bytes come──▶ served, or closed 5 s and ``keepalive`` later

* *Room* is a free thread.  A new connection takes one's place until it has asked, or has been silent for a moment, so
  a client that asks is not dealt to a worker whose threads are all busy.  No thread waits for a client that says
  nothing, and neither does a client that asks.
* How a connection ends is another file's (:mod:`.connection_ends`), and so is the waiting (:mod:`.client_waits`).
* In a drain an idle connection has the rest of its ``keepalive``, as promised.  Told to end idle connections, it has
  :data:`LINGER_SECONDS` after its last answer, for a request that is under way.

All of it is the main thread's, but for the usual end: an answer that is the last one of its connection.  The thread
that has given it closes the connection as well (:meth:`ThreadConnections.finished`), and wakes the main thread only
where something waits for that.  The deadlines in one table are in their order, because all in it wait equally long, so
a sweep looks at the oldest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final

from ....base.records import Load
from ....machine.forked_child import keep_from_children
from .arrived_bytes import has_sent, is_pending, may_still_send
from .client_waits import ClientWaits, Waiting, due
from .connection_ends import ConnectionEnds
from .ended_websockets import is_websocket

if TYPE_CHECKING:
    from ....thread_runtime.poller import Poller
    from ...requests.metering import Metering
    from .client_connection import ClientConnection

__all__ = ["LINGER_SECONDS", "ThreadConnections"]

LINGER_SECONDS: Final = 0.5

_NEW_SECONDS: Final = 0.1  # nearly all ask at once
_SILENT_SECONDS: Final = 5.0 - _NEW_SECONDS  # gunicorn's DEFAULT_WORKER_DATA_TIMEOUT, from 25.3 on


class ThreadConnections:
    """See :class:`~nodecluster_compat._gunicorn.worker.drained_connections.Connections`.

    Args:
        poller: of the main thread.
        submit: lets a thread serve a connection; it calls :meth:`served` after that, in the main thread.
        keepalive: seconds that a connection waits for its next request.
        threads: how many there are.
        most: how many connections there may be.
        changed: called when a connection has ended, or a thread is free.
        metering: counts them.

    Attributes:
        threads: the same, and fewer where the system gives no more.
    """

    def __init__(
        self,
        poller: Poller,
        submit: Callable[[ClientConnection], object],
        keepalive: float,
        threads: int,
        most: int,
        changed: Callable[[], None],
        metering: Metering,
    ) -> None:
        self.idle: Waiting = {}
        self.busy: dict[ClientConnection, None] = {}
        self._new: Waiting = {}
        self._silent: Waiting = {}
        self._waits = ClientWaits(poller, self._lost)
        self._ends = ConnectionEnds(poller, self._waits, metering, changed)
        self._lingering, self._relayed = self._ends.lingering, self._ends.relayed
        self._poller = poller
        self._submit = submit
        self._keepalive = keepalive
        self.threads = threads
        self._most = most
        self._changed = changed
        self._metering = metering
        self._patience = keepalive  # seconds that an idle connection stays after its answer
        self._busy_since = 0.0
        self._is_awaited = False  # whether an offer lies in the channel until a thread is free
        keep_from_children(self)

    def __len__(self) -> int:
        waiting = len(self.idle) + len(self._new) + len(self._silent) + len(self._lingering)
        return len(self.busy) + waiting + len(self._relayed)

    @property
    def without_thread(self) -> int:
        """How many wait for their client."""
        return len(self) - len(self.busy)

    def has_room(self) -> bool:
        """Whether one more can be served: a thread is free for it."""
        if self._has_room():
            return True
        self._is_awaited = True  # before the second look: whoever frees a thread after it says so
        return self._has_room()

    def _has_room(self) -> bool:
        return len(self.busy) + len(self._new) < self.threads and len(self) < self._most

    @property
    def load(self) -> Load:
        """How busy the threads are."""
        count = len(self.busy)
        return Load(self._busy_since if count >= self.threads else 0.0, max(0, count - self.threads))

    def inherited_fds(self) -> Iterator[int]:
        """See :class:`~nodecluster_compat.machine.forked_child.Inherited`."""
        for table in (self.busy, self.idle, self._new, self._silent, self._lingering, self._relayed):
            for conn in list(table):
                yield conn.sock.fileno()

    # --- its way -------------------------------------------------------------------------------

    def count_failed(self) -> None:
        """A connection was gone before it was this worker's."""
        self._metering.count_failed()

    def take(self, conn: ClientConnection) -> None:
        """A connection is this worker's from now on."""
        self._metering.open(conn, conn.client, 0)
        if conn.has_early or has_sent(conn.sock):
            self._serve(conn)
        else:
            self._watch(conn, self._new, _NEW_SECONDS)

    def finished(self, conn: ClientConnection) -> bool:
        """Called by the thread that has given the last answer of a connection: end it here and now.

        Returns:
            Whether it has ended; otherwise it is to be told to :meth:`served`.
        """
        if conn.is_handed_on or is_websocket(conn) or may_still_send(conn):
            return False
        self._ends.close(conn)
        del self.busy[conn]
        if self._is_awaited or self._busy_since:
            self._poller.defer(self._thread_is_free)
        return True

    def served(self, conn: ClientConnection, keeps: bool) -> None:
        """A thread has answered a request.

        Args:
            conn: gunicorn's.
            keeps: whether the connection waits for a further one.
        """
        del self.busy[conn]
        if conn.is_handed_on:
            self._ends.hand_over(conn)
        elif not keeps or conn.sock.fileno() < 0:
            self._ends.end(conn)
        elif conn.parser.unreader.buf.getvalue() or is_pending(conn.sock):
            self._serve(conn)  # read already: the kernel will not say that it is there
        else:
            self._watch(conn, self.idle, self._patience)
        self._thread_is_free()

    def _thread_is_free(self) -> None:
        self._is_awaited = False
        self._busy_since = monotonic() if len(self.busy) >= self.threads else 0.0
        self._changed()

    def _serve(self, conn: ClientConnection) -> None:
        conn.data_ready = True
        self.busy[conn] = None
        if len(self.busy) >= self.threads and not self._busy_since:
            self._busy_since = monotonic()
        self._submit(conn)

    def _watch(self, conn: ClientConnection, table: Waiting, seconds: float) -> None:
        self._waits.begin(conn, table, seconds, partial(self._readable, conn, table))

    def _readable(self, conn: ClientConnection, table: Waiting) -> None:
        self._waits.end(conn, table)
        self._serve(conn)

    def _lost(self, conn: ClientConnection) -> None:
        """A thread of the application's has just closed it."""
        self._ends.close(conn)
        self._changed()

    # --- deadlines -----------------------------------------------------------------------------

    def sweep(self) -> None:
        """End those whose time is over."""
        if self._ends.websockets.deadline != inf:
            self._ends.websockets.sweep()
        if self._new:
            for conn in due(self._new):
                self._waits.end(conn, self._new)
                self._watch(conn, self._silent, _SILENT_SECONDS + self._keepalive)
                self._changed()
        for table in (self.idle, self._silent, self._lingering):
            for conn in due(table) if table else ():
                if table is not self._lingering or not self._ends.is_read_on(conn):
                    self._give_up(conn, table)

    def _give_up(self, conn: ClientConnection, table: Waiting) -> None:
        self._waits.end(conn, table)
        if table is not self._lingering and has_sent(conn.sock):
            self._serve(conn)
        else:
            self._ends.close(conn)
            self._changed()

    @property
    def next_sweep(self) -> float:
        """In how many seconds somebody's time is over."""
        tables = (self._new, self.idle, self._silent, self._lingering)
        soonest = min((next(iter(table.values())) for table in tables if table), default=monotonic() + 1)
        return min(soonest, self._ends.websockets.deadline) - monotonic()

    # --- the drain -----------------------------------------------------------------------------

    def end_idle(self) -> None:
        """Wait for no further request."""
        self._shorten(LINGER_SECONDS)
        young = monotonic() + self._keepalive
        for conn, deadline in list(self._silent.items()):
            if deadline > young:
                self._rewatch(conn, self._silent)
            else:
                self._give_up(conn, self._silent)
        for conn in list(self._new):
            self._rewatch(conn, self._new)

    def _rewatch(self, conn: ClientConnection, table: Waiting) -> None:
        self._waits.end(conn, table)
        self._watch(conn, self._silent, LINGER_SECONDS)

    def end_idle_now(self) -> None:
        """End what is idle, and what has asked for nothing."""
        self._shorten(0.0)
        for table in (self.idle, self._silent, self._new, self._lingering):
            for conn in list(table):
                self._give_up(conn, table)

    def _shorten(self, seconds: float) -> None:
        sooner = self._patience - min(seconds, self._patience)
        self._patience -= sooner
        for conn in self.idle:
            self.idle[conn] -= sooner

    def cut(self) -> None:
        """Nothing to do: no thread can be ended, and all end with the process, which is next.

        Rejected: shutting their sockets.  A thread that reads a body would take its end for the whole.
        """
