"""Tell when the client of a request has left: ``environ["nodecluster.client_gone"]``, and streams that end with it.

Theory of operation
-------------------
A server learns that a client has left when it writes: the first write is answered by a reset, the second one fails.  A
stream that has nothing to say never writes, so a generator waits for events that nobody wants, and a drain waits for
the generator.

Every :data:`SWEEP_SECONDS` one epoll looks at the clients of two kinds of requests: those that the application asks
about, and those whose body is iterated for that long.  Any other request costs one small object.

The kernel reports three things.  A *reset*: the client is gone.  The *end* of what the client sends: ``close()``, or
``shutdown(SHUT_WR)`` by a client that waits for its answer.  *Both* directions shut, as when the client of a unix
socket ends: it is gone.  An end counts as a client that has left

* for an application that asks, as in Node and nginx;
* for a stream, if the stream is silent, and the end came after the head of the answer or, where there is none yet,
  after a sweep at least, because a client that half-closes does so after its request.  Data that is written to a client
  that is gone is answered by a reset, so a client that takes data and does not reset is there.

A stream whose client is gone ends as at the limit of a drain: ``GreenletExit`` is raised where its greenlet waits, so
that its ``finally`` runs.  An application that asks ends its stream by itself, and is left alone.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from contextlib import suppress
from socket import IPPROTO_TCP, TCP_INFO
from time import monotonic
from typing import Any, Final

from gevent import GreenletExit, get_hub, getcurrent, spawn
from gevent.event import Event

from ..base.handler_calls import run_guarded
from ..base.loop import original
from ..machine.unarrived import unarrived

__all__ = ["KEY", "SWEEP_SECONDS", "ClientGone", "ClientWatch", "client_watch"]

KEY: Final = "nodecluster.client_gone"
SWEEP_SECONDS: Final = 0.2

_SILENT_SECONDS: Final = 0.5  # a stream that writes nothing for so long after the client's end is silent
_RESET_SECONDS: Final = 2.0  # within them, a write to a client that is gone has been answered by a reset
_ESTABLISHED: Final = b"\x01"  # the first byte of Linux's tcp_info
_END: Final = select.EPOLLRDHUP
_GONE: Final = select.EPOLLHUP | select.EPOLLERR


class ClientGone:
    """Whether the client of one request has left; ``environ["nodecluster.client_gone"]``.

    A client that only shut its sending side counts as gone, as in Node and nginx.
    """

    __slots__ = ("__dict__", "__weakref__", "response")  # C sets the last one, for each request: few need a dict

    is_over = False  # the request has ended
    was_open = False  # the client had not ended its side when its answer began, or a while after its request
    stream: Any = None  # the greenlet that iterates its body
    _gone = False
    _asked = False
    _event: Event | None = None
    _callbacks: list[Callable[[], object]] | None = None
    _ended_at: float | None = None
    _sent_then: Any = None

    def __init__(self, response: Any) -> None:  # noqa: ANN401 - gunicorn's
        self.response: Any = response

    def is_set(self) -> bool:
        """Whether the client has left; asks the kernel."""
        if not self._gone and not self.is_over and _happened(self.fileno()):
            self.left()
        return self._gone

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the client has left; other requests go on meanwhile.

        Args:
            timeout: seconds; ``None`` for no limit.

        Returns:
            Whether it has left; false when the time is over, or the request has ended.
        """
        self._asked = True
        if self.is_set() or self.is_over:
            return self._gone
        if self._event is None:
            self._event = Event()
        client_watch.add(self)
        self._event.wait(timeout)
        return self._gone

    def on_gone(self, callback: Callable[[], object]) -> None:
        """Call back once the client has left, in a greenlet of its own; never after the request has ended.

        Args:
            callback: called without arguments; what it raises is logged.
        """
        self._asked = True
        if self.is_over and not self._gone:
            return
        if self._callbacks is None:
            self._callbacks = []
        self._callbacks.append(callback)
        if self.is_set():
            self._call_back()
        else:
            client_watch.add(self)

    def fileno(self) -> int:
        """Return the client's descriptor, -1 once closed."""
        try:
            number: int = self.response.sock._sock.fileno()  # not the outer one's: that makes closing it dearer
        except (AttributeError, OSError, ValueError):
            return -1
        return number

    # --- for what serves the request -----------------------------------------------------------

    def look(self) -> None:
        """The answer of a stream begins: a client whose end is there already has not left because of it."""
        try:
            self.was_open = self.response.sock._sock.getsockopt(IPPROTO_TCP, TCP_INFO, 1) == _ESTABLISHED
        except OSError:
            self.was_open = not _happened(self.fileno())  # a unix socket

    def left(self) -> None:
        """The client has left: tell the application that asked."""
        self._gone = True
        if self._event is not None:
            self._event.set()
        self._call_back()

    def over(self) -> None:
        """The request has ended."""
        self.is_over = True
        self.stream = self._callbacks = self.response = None  # which may refer to this: no ring is left
        if self._event is not None:
            self._event.set()

    def judge(self, happened: int, now: float) -> bool:
        """Return whether the stream is to be ended, now that something has happened to its client."""
        if not self._gone and self._asked:
            self.left()
        if self._asked or self.stream is None:
            return False
        return bool(happened & _GONE) or (self.was_open and self._is_silent(now))

    def _is_silent(self, now: float) -> bool:
        sent = getattr(self.response, "sent", None)
        if self._ended_at is None:
            self._ended_at, self._sent_then = now, sent
        elif sent == self._sent_then:
            return now - self._ended_at >= _SILENT_SECONDS and not unarrived(self.fileno())
        elif now - self._ended_at >= _RESET_SECONDS:
            self.was_open = False  # it reads what is written: it has only shut its sending side
        return False

    def _call_back(self) -> None:
        callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            spawn(run_guarded, "client_gone", None, callback)


class ClientWatch:
    """Looks at the clients of this process's requests, as far as somebody is interested."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._new: dict[Any, ClientGone] = {}  # by the socket that the request is served on
        self._known: dict[Any, tuple[int, ClientGone]] = {}
        self._by_fd: dict[int, ClientGone] = {}
        self._epoll: Any = None
        self._timer: Any = None

    def abandon(self) -> None:
        """In a forked child: it serves no request of its parent's."""
        if self._epoll is not None:
            self._epoll.close()
        self._reset()

    def add(self, gone: ClientGone) -> None:
        """Look at the client of a request from the next sweep on."""
        gone.response.is_watched = True
        client = gone.response.sock
        if client not in self._known:
            self._new[client] = gone
        if self._timer is None:
            self._timer = get_hub().loop.timer(SWEEP_SECONDS, SWEEP_SECONDS, ref=False)
            self._timer.start(self._sweep)

    def add_stream(self, gone: ClientGone) -> None:
        """The current greenlet is about to iterate the body of a request."""
        gone.stream = getcurrent()
        self.add(gone)

    def response_to(self, client: object) -> Any:  # noqa: ANN401 - gunicorn's
        """Return the response that is on its way to ``client``, if its body is iterated or somebody has asked."""
        gone = self._new.get(client) or self._known.get(client, (0, None))[1]
        return None if gone is None else gone.response

    def remove(self, client: object) -> None:
        """The request that ``client`` has made, if any, has ended."""
        gone = self._new.pop(client, None)
        if gone is not None:
            gone.over()
        elif client in self._known:
            fd, known = self._known.pop(client)
            if self._by_fd.get(fd) is known:
                del self._by_fd[fd]
                with suppress(OSError, ValueError):  # closed, and with it forgotten
                    self._epoll.unregister(fd)
            known.over()

    def _sweep(self) -> None:
        if not self._new and not self._known:
            self._timer.stop()
            self._timer.close()
            self._timer = None
            return
        new = self._register()
        happened = dict(self._epoll.poll(0)) if self._by_fd else {}
        now = monotonic()
        for fd, gone in new:
            if fd not in happened:
                gone.was_open = True
        watched = [(self._by_fd[fd], events) for fd, events in happened.items() if fd in self._by_fd]
        for left in [gone for gone, events in watched if gone.judge(events, now)]:
            _end(left)

    def _register(self) -> list[tuple[int, ClientGone]]:
        """Have the epoll look at those that have been there since the last sweep; return them."""
        added, self._new = self._new, {}
        registered = []
        if self._epoll is None:
            self._epoll = original("select", "epoll")()
        for client, gone in added.items():
            fd = gone.fileno()
            self._known[client] = fd, gone
            try:
                self._watch(fd)
            except (OSError, ValueError):
                continue  # closed meanwhile
            self._by_fd[fd] = gone
            registered.append((fd, gone))
        return registered

    def _watch(self, fd: int) -> None:
        try:
            self._epoll.register(fd, _END)
        except FileExistsError:
            self._epoll.modify(fd, _END)


client_watch: Final = ClientWatch()
"""Of this process."""

os.register_at_fork(after_in_child=client_watch.abandon)


def _end(gone: ClientGone) -> None:
    """In the hub: end the stream where its greenlet waits."""
    greenlet, gone.stream = gone.stream, None
    if greenlet is None or gone.is_over:
        return  # the end of another one has ended it
    gone.response.force_close()
    gone.response.req.must_close = True
    greenlet.throw(GreenletExit)


def _happened(fd: int) -> bool:
    """Whether the client has ended its side, or more, now."""
    if fd < 0:
        return True
    poll = original("select", "poll")()
    poll.register(fd, select.EPOLLRDHUP)
    return bool(poll.poll(0))
