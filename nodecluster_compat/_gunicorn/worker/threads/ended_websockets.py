"""End websockets whose application may still be reading them: shut first, closed later.

The request of a websocket ends while a thread of the application's, one of simple-websocket as a rule, is inside
``recv`` of its socket.  If the socket were closed at once, two things would go wrong:

* The kernel says nothing to the client until that thread leaves ``recv``.
* The number is free, and the next connection gets it.  OpenSSL reads a record in two pieces, and answers one that is
  broken; it does so by the number, so it would take bytes of another client's, and write to that.

So the socket is shut towards the client, which has time to say goodbye; the thread reads that.  Then it is shut towards
the thread, which has time to leave.  Nobody waits for either: the worker may end meanwhile.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final

from ....machine.forked_child import keep_from_children

if TYPE_CHECKING:
    from .client_connection import ClientConnection

__all__ = ["EndedWebsockets", "is_websocket", "shut"]

_MOST: Final = 128
"""Beyond so many the one that was told first is closed: none is counted among the worker's connections."""

_CLIENT_SECONDS: Final = 2.0
_THREAD_SECONDS: Final = 1.0


def is_websocket(conn: ClientConnection) -> bool:
    """Whether a connection is this worker's, and its last request has asked for a websocket."""
    request = getattr(conn.parser, "mesg", None)
    if request is not None and not conn.is_handed_on:
        for name, value in request.headers:  # ``any`` would take twice as long, at the end of each connection
            if name == "UPGRADE":
                return bool(value.lower() == "websocket")
    return False


class EndedWebsockets:
    """Ends the websockets of one worker; only the main thread uses it.

    Attributes:
        deadline: when :meth:`sweep` has something to do; ``inf`` if never.
    """

    def __init__(self) -> None:
        self.deadline = inf
        self._leaving: deque[tuple[float, socket.socket]] = deque()
        self._shut: deque[tuple[float, socket.socket]] = deque()
        keep_from_children(self)

    def inherited_fds(self) -> Iterator[int]:
        """See :class:`~nodecluster_compat.machine.forked_child.Inherited`."""
        for _, sock in [*self._leaving, *self._shut]:
            yield sock.fileno()

    def end(self, sock: socket.socket) -> None:
        """Tell the client that nothing more comes; nothing is to be told where the application has closed it."""
        if sock.fileno() >= 0:
            shut(sock, socket.SHUT_WR)
            self._leaving.append((monotonic() + _CLIENT_SECONDS, sock))
        while len(self._leaving) + len(self._shut) > _MOST:
            _close((self._shut or self._leaving).popleft()[1])
        self._note()

    def sweep(self) -> None:
        """Tell the threads that nothing more comes, and close what they have had the time to leave."""
        now = monotonic()
        for sock in _due(self._leaving, now):
            shut(sock, socket.SHUT_RDWR)
            self._shut.append((now + _THREAD_SECONDS, sock))
        for sock in _due(self._shut, now):
            _close(sock)
        self._note()

    def _note(self) -> None:
        self.deadline = min((queue[0][0] for queue in (self._leaving, self._shut) if queue), default=inf)


def shut(sock: socket.socket, how: int) -> None:
    """Shut the connection of a socket, through TLS as well, even while a thread reads it."""
    with suppress(OSError):  # its client has left, or the application has closed it
        socket.socket.shutdown(sock, how)  # not ssl's own, which lets go of the session


def _close(sock: socket.socket) -> None:
    shut(sock, socket.SHUT_RDWR)
    with suppress(OSError):
        sock.close()


def _due(queue: deque[tuple[float, socket.socket]], now: float) -> Iterator[socket.socket]:
    while queue and queue[0][0] <= now:
        yield queue.popleft()[1]
