"""Make gevent's socket cheaper for a client's connection, as gunicorn and the application get it.

It is gevent's socket, with two differences that cannot be observed without looking for them:

* gevent's ``sendall`` asks the kernel for the size of the send buffer before it sends anything.  Nearly every response
  fits, so this one sends first.
* gevent makes two watchers for each socket, and lets go of them in several steps when it is closed.  Most connections
  need neither: a request is there when the connection is, and its answer fits.  Here the attributes that gevent's
  methods use (``hub``, ``_read_event``, ``_write_event``) are made when they are first used.  If nobody has asked for
  the hub or the descriptor, nobody else has a watcher of this socket either, and it is closed in one system call.

The standard library's socket beneath it (``_sock``) is made on demand, too: until then there is only the descriptor.
The C extension (``native/client_sockets.c``) receives, sends and closes by the descriptor alone.
"""

from __future__ import annotations

import _socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import gevent
from gevent import get_hub
from gevent._socket3 import _closedsocket
from gevent.socket import SHUT_RDWR, socket
from greenlet import greenlet

__all__ = ["ClientSocket", "cut_connections"]

_READ: Final = 1
_WRITE: Final = 2

switch_to: Final = greenlet.switch
"""To the hub: its own ``switch`` asks first whether the greenlet wants to be told, which costs as much again."""


class ClientSocket(socket):  # type: ignore[misc]  # gevent has no type hints here
    """A connected gevent socket.

    Attributes:
        passage: what routes the requests of this connection, where that is done; whoever serves it asks.

    Args:
        family: as :class:`socket.socket`.
        type: as :class:`socket.socket`.
        proto: as :class:`socket.socket`.
        fileno: the descriptor, which is this object's from now on.
    """

    __slots__ = ("__dict__", "_descriptor", "_is_ours", "_kind", "_reader", "_request_id")  # C has to find them

    passage: Any = None

    def __init__(self, family: int, type: int, proto: int, fileno: int) -> None:  # noqa: A002 - gevent's names
        # Not gevent's, which makes the watchers and the socket beneath.
        self._closed = False
        self._io_refs = 0
        self._kind = family, type, proto
        self._descriptor = fileno  # -1 once the socket beneath has it
        self._is_ours = True  # nobody has asked for the hub or the descriptor
        self._reader: Any = None
        self.timeout = _socket.getdefaulttimeout()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - gevent's attributes, of which it gives no types
        """Extends gevent's: what its methods need is made when they look for it."""
        if name == "_sock":
            return self._make_sock()
        if name == "hub":
            self._is_ours = False
            self.hub = get_hub()
            return self.hub
        if name == "_read_event":
            fd = self._sock.fileno() if self._descriptor < 0 else self._descriptor
            self._reader = self._read_event = None if fd < 0 else get_hub().loop.io(fd, _READ)
            return self._reader
        if name == "_write_event":
            self._is_ours = False
            self._write_event = get_hub().loop.io(self._sock.fileno(), _WRITE)
            return self._write_event
        if name in {"_kind", "_descriptor", "_request_id"}:
            raise AttributeError(name)
        return super().__getattr__(name)

    def _make_sock(self) -> Any:  # noqa: ANN401 - of gevent's class
        fd = self._descriptor
        if fd < 0:  # closed before anybody has looked for it
            sock = _closedsocket(*self._kind, fd, "closed")
        else:
            sock = self._gevent_sock_class(*self._kind, fd)
            self._descriptor = -1
            sock.setblocking(False)
        self._sock = sock
        return sock

    def fileno(self) -> int:
        """Return the descriptor; as :meth:`socket.socket.fileno`."""
        self._is_ours = False  # its new owner may watch it
        number: int = self._sock.fileno()
        return number

    def dup(self) -> ClientSocket:
        """Return another socket of the same connection; as :meth:`socket.socket.dup`."""
        other: ClientSocket = super().dup()
        other._make_sock()  # which closes itself, where nobody else does
        return other

    @property
    def request_id(self) -> str | None:
        """The id of the request that is served, as far as nobody could ask for it when it began."""
        return getattr(self, "_request_id", None)

    def recv_ready(self, size: int) -> bytes | None:
        """Return what has come, at most ``size`` bytes (``b""``: the end); ``None`` when nothing has."""
        try:
            data: bytes = self._sock.recv(size)
        except BlockingIOError:
            return None
        return data

    def recv_next(self, size: int, hub: Any, resume: Callable[[], object]) -> bytes:  # noqa: ANN401 - gevent's
        """Let other greenlets run until something has come, and return it, at most ``size`` bytes (``b""``: the end).

        Args:
            size: at most so many.
            hub: of this thread.
            resume: ``switch`` of the current greenlet.
        """
        while True:
            watcher: Any = self._read_event
            watcher.start(resume)
            try:
                switch_to(hub)
            finally:
                watcher.stop()
            data = self.recv_ready(size)  # something else may have woken it
            if data is not None:
                return data

    def sendall(self, data: bytes | bytearray | memoryview, flags: int = 0) -> None:
        """Send all of ``data``; as :meth:`socket.socket.sendall`."""
        view = data if type(data) is bytes else memoryview(data).cast("B")
        try:
            sent = self._sock.send(view, flags)
        except BlockingIOError:
            sent = 0
        if sent != len(view):
            super().sendall(memoryview(view)[sent:], flags)

    def close(self) -> None:
        """Extends gevent's: where there is no socket beneath, none is made to be closed."""
        fd = self._descriptor
        if fd < 0 or self._io_refs or not self._is_unwatched():
            super().close()
            return
        self._closed = True
        self._descriptor = -1
        self._close_reader()
        _socket.close(fd)

    def _drop_events_and_close(self, closefd: bool = True, *rest: object) -> None:
        """Extends gevent's: nothing is let go in steps that nobody waits for."""
        if not (closefd and self._is_unwatched()):
            super()._drop_events_and_close(closefd, *rest)
            return
        self._close_reader()
        self._sock.close()

    def _is_unwatched(self) -> bool:
        """Whether nobody waits for it, and nobody else can have a watcher of it."""
        return self._is_ours and (self._reader is None or self._reader.callback is None)

    def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        self._read_event = self._write_event = None
        if reader is not None:
            reader.close()


def cut_connections(clients: Mapping[Any, Any]) -> None:
    """End connections that take too long: kill their greenlets, then shut what those leave open.

    Args:
        clients: their sockets, by greenlet; the caller's is not among them.
    """
    gevent.killall(list(clients), block=False)
    gevent.sleep(0)
    for client in list(clients.values()):
        if client is not None:
            with suppress(OSError):
                client._sock.shutdown(SHUT_RDWR)
