"""End connections on which no further request comes: after a while, or at once when a drain begins.

gunicorn starts a timer when it waits for a request and stops it when one has come, which is nearly always at once.
Here the wait is noted with its deadline, and a sweep looks at the oldest notes now and then.  All waits are equally
long, so the notes are in order and a sweep looks only at those that are over.  The timer runs only while somebody
waits.

A wait ends at the second sweep that finds it over, so up to twice :data:`SWEEP_SECONDS` late.  Between the two the loop
asks the kernel once more: after a handler that blocked the worker, requests may wait there that came in time, and
libev calls timers before sockets.  For the same reason the second sweep spares a connection on which something has
come, if its socket is known: a process that waits for a processor finds both due at once.

The context manager notes a wait itself, or, with :attr:`IdleLimit.noted_inside`, the code that reads there does: only
when it really has to wait, which on a new connection is rare.

A wait is *idle* when an answer was given and no byte of a next request has come.  A new connection is not idle, because
its client has just asked for something; nor is one that has sent a part of a request.  The code that reads requests
says so with :meth:`IdleLimit.began`.

A drain ends an idle connection as its time-out would, unless the kernel has bytes of it already: then a request has
come after all, and it is answered.  A connection that was answered less than :data:`LINGER_SECONDS` ago gets that long:
the next request of a busy client is on its way, and its answer says ``Connection: close``, so that nothing is lost.

Rejected: shutting the reading half, which OpenSSL takes for an attack and answers with an alert.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from gevent import Timeout, get_hub, getcurrent
from gevent.ssl import SSLSocket

if TYPE_CHECKING:
    from .client_socket import ClientSocket

__all__ = ["LINGER_SECONDS", "SWEEP_SECONDS", "IdleLimit", "NotedInside"]

SWEEP_SECONDS: Final = 0.1
LINGER_SECONDS: Final = 0.5


class IdleLimit:
    """A context manager that ends the wait of the greenlet inside it after ``seconds``, without an exception.

    Args:
        seconds: how long one wait may last.
        clients: see below; ``None``: none yet.

    Attributes:
        clients: the sockets of connections, by greenlet, as far as they are known: whoever serves them says so.
        noted_inside: another context manager: it ends waits as this one does, and notes none.
        is_over: the drain is at its limit, so no connection waits for a further request, not even one whose greenlet
            was killed during a request: gunicorn would go on with it.
    """

    __slots__ = (
        "_began",
        "_expired",
        "_finishing",
        "_linger",
        "_seconds",
        "_swept",
        "_timer",
        "_waiting",
        "clients",
        "is_over",
        "noted_inside",
    )

    def __init__(self, seconds: float, clients: dict[Any, Any] | None = None) -> None:
        self._seconds = seconds
        self.clients: dict[Any, Any] = {} if clients is None else clients
        self._waiting: dict[Any, float] = {}
        self._began: set[Any] = set()  # those of the waiting that are not idle
        self._finishing: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()  # to be ended when they are idle
        self._linger = LINGER_SECONDS
        self.is_over = False
        self._timer: Any = None
        self._swept = 0.0  # when the last sweep was
        self._expired = Timeout(None, False)
        self.noted_inside = NotedInside(self._expired)

    def __enter__(self) -> None:
        self.note(getcurrent())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.forget(getcurrent())
        return _is_over(error, self._expired)

    def note(self, greenlet: object) -> None:
        """``greenlet``, the current one, waits from now on, and is idle."""
        self._waiting[greenlet] = monotonic() + self._seconds
        if self._timer is None:
            self._start()

    def forget(self, greenlet: object) -> None:
        """``greenlet``, the current one, waits no longer."""
        self._waiting.pop(greenlet, None)
        if self._began:
            self._began.discard(greenlet)

    def is_end(self, error: BaseException) -> bool:
        """Whether a wait that was noted has ended by ``error``."""
        return _is_over(error, self._expired)

    @property
    def waiting(self) -> list[Any]:
        """The greenlets that are inside."""
        return list(self._waiting)

    def began(self) -> None:
        """The current greenlet is not idle while it is inside: it waits for a first request, or serves one."""
        greenlet = getcurrent()
        if greenlet in self._waiting:  # outside it reads a connection's only request
            self._began.add(greenlet)

    def finish(self, clients: Mapping[Any, Any]) -> None:
        """End these connections: those that are idle at once, the others when they have answered.

        Args:
            clients: their sockets, by greenlet; ``None`` for one that has not begun yet.
        """
        self._finishing.update(clients)
        get_hub().loop.run_callback(self._end_idle)

    def finish_now(self) -> None:
        """The drain is at its limit: end those that are idle without waiting for anything."""
        self._linger = 0.0
        self.is_over = True
        get_hub().loop.run_callback(self._end_idle)

    def end_idle(self, clients: Mapping[Any, Any]) -> None:
        """End those of these connections that are idle now; others, and those to come, are left alone."""
        get_hub().loop.run_callback(self._end_idle_of, dict(clients))

    def _end_idle_of(self, clients: Mapping[Any, Any]) -> None:
        for greenlet in self._waiting.keys() - self._began:
            if greenlet in clients and not _has_sent(clients[greenlet]):
                del self._waiting[greenlet]
                greenlet.throw(self._expired)

    def _end_idle(self) -> None:
        """In the hub, like :meth:`_sweep`: whoever throws elsewhere does not come back."""
        latest = monotonic() - self._linger + self._seconds
        for greenlet in self._waiting.keys() - self._began:
            client = self._finishing.get(greenlet)
            if client is not None and self._waiting[greenlet] <= latest and not _has_sent(client):
                del self._waiting[greenlet]
                greenlet.throw(self._expired)

    def _start(self) -> None:
        self._swept = monotonic()
        self._timer = get_hub().loop.timer(SWEEP_SECONDS, SWEEP_SECONDS, ref=False)
        self._timer.start(self._sweep)

    def _sweep(self) -> None:
        if self._finishing:
            self._end_idle()
        limit, self._swept = self._swept, monotonic()
        while self._waiting:
            greenlet, deadline = next(iter(self._waiting.items()))
            if deadline > limit:
                return
            del self._waiting[greenlet]
            client = self.clients.get(greenlet)
            if client is not None and _has_sent(client):
                self._waiting[greenlet] = monotonic() + self._seconds  # it is about to read that
            else:
                greenlet.throw(self._expired)
        self._timer.stop()
        self._timer.close()
        self._timer = None


class NotedInside:
    """See :attr:`IdleLimit.noted_inside`."""

    __slots__ = ("_expired",)

    def __init__(self, expired: Timeout) -> None:
        self._expired = expired

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return _is_over(error, self._expired)


def _is_over(error: BaseException | None, expired: BaseException) -> bool:
    """Whether a wait has ended by ``expired``, which is used again: it must not hold the frames it came through."""
    if error is not expired:
        return False
    expired.__traceback__ = expired.__context__ = None
    return True


def _has_sent(client: ClientSocket | SSLSocket) -> bool:
    """Whether there is something to read: bytes, or the end of the connection."""
    if isinstance(client, SSLSocket) and client.pending():
        return True
    try:
        client._sock.recv(1, socket.MSG_PEEK)  # the socket beneath, which never blocks
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
