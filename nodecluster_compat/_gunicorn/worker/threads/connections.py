"""Keep the connections of a thread worker: which one has a thread, waits for one, or waits for its client.

Theory of operation
-------------------
gunicorn's ``gthread`` has a thread for each request, not for each connection.  Its rules are kept, with other means:

    new ──bytes come──▶ served ──answered──▶ idle ──bytes come──▶ served
     │                     └──last answer──▶ closed, or lingering ──▶ closed
     └── 0.1 s of silence ──▶ silent ──bytes come──▶ served, or closed 5 s and ``keepalive`` later

* *Room* is a free thread.  A new connection takes one's place until it has asked, or has been silent for a moment, so
  a client that asks is not dealt to a worker whose threads are all busy.  No thread waits for a client that says
  nothing, and neither does a client that asks.
* An answer after which the connection ends is closed at once, unless its client may still be sending: then it lingers
  here, and holds up nobody (gunicorn 26.2 and 27 wait for such a client in the main thread, for up to 2 s).
* A websocket is shut, and closed later, where nobody waits for it (:mod:`.ended_websockets`).
* In a drain an idle connection has the rest of its ``keepalive``, as promised.  Told to end idle connections, it has
  :data:`LINGER_SECONDS` after its last answer, for a request that is under way.

All of it is the main thread's, but for the usual end: an answer that is the last one of its connection.  The thread
that has given it closes the connection as well (:meth:`ThreadConnections.finished`), and wakes the main thread only
where something waits for that.  The deadlines in one table are in their order, because all in it wait equally long, so
a sweep looks at the oldest.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeAlias

from ....base.records import Load
from ....machine.forked_child import keep_from_children
from .arrived_bytes import has_ended, has_sent, is_pending, may_still_send
from .ended_websockets import EndedWebsockets, is_websocket, shut

if TYPE_CHECKING:
    from ....thread_runtime.poller import Poller
    from ...requests.metering import Metering
    from .client_connection import ClientConnection

__all__ = ["LINGER_SECONDS", "ThreadConnections"]

LINGER_SECONDS: Final = 0.5

_NEW_SECONDS: Final = 0.1  # nearly all ask at once
_SILENT_SECONDS: Final = 5.0 - _NEW_SECONDS  # gunicorn's DEFAULT_WORKER_DATA_TIMEOUT, from 25.3 on
_CLOSING_SECONDS: Final = 2.0

_Waiting: TypeAlias = "dict[ClientConnection, float]"
"""Connections that wait equally long, and until when: the first is the first that is due."""


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
        self.idle: _Waiting = {}
        self.busy: dict[ClientConnection, None] = {}
        self._new: _Waiting = {}
        self._silent: _Waiting = {}
        self._closing: _Waiting = {}
        self._relayed: dict[ClientConnection, None] = {}
        self._websockets = EndedWebsockets()
        self._poller = poller
        self._submit = submit
        self._keepalive = keepalive
        self._threads = threads
        self._most = most
        self._changed = changed
        self._metering = metering
        self._patience = keepalive  # seconds that an idle connection stays after its answer
        self._busy_since = 0.0
        self._is_awaited = False  # whether an offer lies in the channel until a thread is free
        keep_from_children(self)

    def __len__(self) -> int:
        waiting = len(self.idle) + len(self._new) + len(self._silent) + len(self._closing)
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
        return len(self.busy) + len(self._new) < self._threads and len(self) < self._most

    @property
    def load(self) -> Load:
        """How busy the threads are."""
        count = len(self.busy)
        return Load(self._busy_since if count >= self._threads else 0.0, max(0, count - self._threads))

    def inherited_fds(self) -> Iterator[int]:
        """See :class:`~nodecluster_compat.machine.forked_child.Inherited`."""
        for table in (self.busy, self.idle, self._new, self._silent, self._closing, self._relayed):
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
        self._close(conn)
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
            self._let_go(conn)
        elif not keeps or conn.sock.fileno() < 0:
            self._end(conn)
        elif conn.parser.unreader.buf.getvalue() or is_pending(conn.sock):
            self._serve(conn)  # read already: the kernel will not say that it is there
        else:
            self._watch(conn, self.idle, self._patience)
        self._thread_is_free()

    def _thread_is_free(self) -> None:
        self._is_awaited = False
        self._busy_since = monotonic() if len(self.busy) >= self._threads else 0.0
        self._changed()

    def _serve(self, conn: ClientConnection) -> None:
        conn.data_ready = True
        self.busy[conn] = None
        if len(self.busy) >= self._threads and not self._busy_since:
            self._busy_since = monotonic()
        self._submit(conn)

    def _watch(self, conn: ClientConnection, table: _Waiting, seconds: float) -> None:
        self._wait_for(conn, table, seconds, partial(self._readable, conn, table))

    def _wait_for(self, conn: ClientConnection, table: _Waiting, seconds: float, readable: Callable[[], None]) -> None:
        fd = conn.sock.fileno()
        try:
            self._poller.add_reader(fd, readable)
        except (OSError, ValueError):  # a thread of the application's has just closed it
            self._close(conn)
            self._changed()
            return
        conn.watched = fd, readable
        table[conn] = monotonic() + seconds

    def _readable(self, conn: ClientConnection, table: _Waiting) -> None:
        self._unwatch(conn, table)
        self._serve(conn)

    def _unwatch(self, conn: ClientConnection, table: _Waiting) -> None:
        del table[conn]
        self._poller.remove_reader(*conn.watched)

    # --- its end -------------------------------------------------------------------------------

    def _let_go(self, conn: ClientConnection) -> None:
        """It is another worker's; through TLS it is relayed from now on, and counts until that has ended."""
        if conn.relay is None:
            self._close(conn)
            return
        self._relayed[conn] = None
        try:
            conn.relay.begin(conn.sock, partial(self._poller.defer, self._relay_ended, conn))
        except RuntimeError:
            conn.relay.give_up()
            self._relay_ended(conn)

    def _relay_ended(self, conn: ClientConnection) -> None:
        self._relayed.pop(conn, None)
        self._close(conn)
        self._changed()

    def _end(self, conn: ClientConnection) -> None:
        if not is_websocket(conn) and may_still_send(conn):
            self._linger(conn)
        else:
            self._close(conn)

    def _linger(self, conn: ClientConnection) -> None:
        """Say that nothing more comes, and take what the client still sends: closed at once, it would be reset."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
            return
        self._wait_for(conn, self._closing, _CLOSING_SECONDS, partial(self._discard, conn))

    def _close(self, conn: ClientConnection) -> None:
        self._metering.close(conn)
        if is_websocket(conn):
            self._websockets.end(conn.sock)
            return
        if not (conn.is_handed_on or conn.is_taken_over):
            shut(conn.sock, socket.SHUT_RDWR)  # a thread of the application's may be reading, and hold up the end
        with suppress(OSError):
            conn.sock.close()

    def _discard(self, conn: ClientConnection) -> None:
        if has_ended(conn):
            self._unwatch(conn, self._closing)
            self._close(conn)
            self._changed()

    def sweep(self) -> None:
        """End those whose time is over."""
        if self._websockets.deadline != inf:
            self._websockets.sweep()
        if self._new:
            for conn in _due(self._new):
                self._unwatch(conn, self._new)
                self._watch(conn, self._silent, _SILENT_SECONDS + self._keepalive)
                self._changed()
        for table in (self.idle, self._silent, self._closing):
            for conn in _due(table) if table else ():
                self._give_up(conn, table)

    def _give_up(self, conn: ClientConnection, table: _Waiting) -> None:
        self._unwatch(conn, table)
        if table is not self._closing and has_sent(conn.sock):
            self._serve(conn)
        else:
            self._close(conn)
            self._changed()

    @property
    def next_sweep(self) -> float:
        """In how many seconds somebody's time is over."""
        tables = (self._new, self.idle, self._silent, self._closing)
        soonest = min((next(iter(table.values())) for table in tables if table), default=monotonic() + 1)
        return min(soonest, self._websockets.deadline) - monotonic()

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

    def _rewatch(self, conn: ClientConnection, table: _Waiting) -> None:
        self._unwatch(conn, table)
        self._watch(conn, self._silent, LINGER_SECONDS)

    def end_idle_now(self) -> None:
        """End what is idle, and what has asked for nothing."""
        self._shorten(0.0)
        for table in (self.idle, self._silent, self._new, self._closing):
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


def _due(table: _Waiting) -> list[ClientConnection]:
    now = monotonic()
    due = []
    for conn, deadline in table.items():
        if deadline > now:
            break
        due.append(conn)
    return due
