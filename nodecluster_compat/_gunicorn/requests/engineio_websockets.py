"""Send what Engine.IO has for a websocket at the end of the turn, without a switch and a system call for each packet.

Engine.IO puts each packet into the queue of its client, where a greenlet waits that assembles a frame and sends it.  As
long as that greenlet waits and nothing is queued, :class:`Outbox` gives the packet to a ``TurnWriter`` instead, framed
once for all clients.  Where a client does not read, the greenlet sends, and packets queue behind it as ever.

The frames are not compressed, as those of Socket.IO's own server are not: simple-websocket would compress whatever a
browser offers to read compressed, for each client anew, and gevent-websocket compresses nothing.  Connections through
TLS are left to Engine.IO.

Both are put where Engine.IO looks for its queue and its websocket.  ``NODECLUSTER_PLAIN_WEBSOCKETS=1`` leaves it alone.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from gevent import spawn
from gevent.queue import Empty, JoinableQueue

from ...base.variables import PLAIN_WEBSOCKETS
from ...gevent_runtime.client_socket import ClientSocket
from ...gevent_runtime.turn_writer import TurnWriter

if TYPE_CHECKING:
    from ..gunicorn_types import Environ

_TakeSocket: TypeAlias = "Callable[[Any, Callable[[], None]], TurnWriter | None]"

__all__ = ["Outbox", "install", "websocket_frame"]

_DRIVER: Final = "engineio.async_drivers.gevent"
_EXTENSIONS: Final = "HTTP_SEC_WEBSOCKET_EXTENSIONS"
_TEXT: Final = 0x81
_BINARY: Final = 0x82
_SHORT: Final = struct.Struct("!BB")
_MIDDLE: Final = struct.Struct("!BBH")
_LONG: Final = struct.Struct("!BBQ")


def websocket_frame(data: str | bytes | bytearray) -> bytes:
    """Return one whole message of a server as the bytes of its only frame (RFC 6455, section 5.2)."""
    kind, payload = (_TEXT, data.encode()) if isinstance(data, str) else (_BINARY, bytes(data))
    size = len(payload)
    if size < 126:
        return _SHORT.pack(kind, size) + payload
    return (_MIDDLE.pack(kind, 126, size) if size < 65536 else _LONG.pack(kind, 127, size)) + payload


def _framed(packet: Any) -> bytes:  # noqa: ANN401 - Engine.IO has no types
    """Return the frame of a packet of Engine.IO, which is made once for all its clients."""
    try:
        frame: bytes = packet.websocket_frame
    except AttributeError:
        frame = packet.websocket_frame = websocket_frame(packet.data if packet.binary else packet.encode())
    return frame


class _Rest:
    """In the place of a packet: the kernel has not taken all, and whoever sends packets may wait."""

    def encode(self) -> _Rest:
        return self


_REST: Final = _Rest()


class Outbox(JoinableQueue):  # type: ignore[misc]  # gevent has no types
    """The queue of one client of Engine.IO, which packets for an idle websocket pass by."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self._writer: TurnWriter | None = None
        self._client: Any = None
        self._is_awaited = False
        self._has_passed = False

    def open(self, writer: TurnWriter, client: Any) -> None:  # noqa: ANN401 - Engine.IO's Socket
        """Let packets pass by, from when the client has left long polling, if it came by that."""
        self._writer, self._client = writer, client

    def shut(self) -> None:
        """Nothing passes by any more: the websocket has ended."""
        self._writer = self._client = None

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: ANN401 - a packet
        """Extends gevent's: a packet that nothing waits before is sent."""
        writer = self._writer
        if writer is not None and item is not None and self._is_free(writer):
            self._has_passed = True
            writer.put(_framed(item))
        else:
            super().put(item, block, timeout)

    def _is_free(self, writer: TurnWriter) -> bool:
        if not self._is_awaited or writer.is_stuck or writer.is_broken:
            return False
        return bool(self._client.upgraded) and not self.qsize()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: ANN401 - as above
        """Extends gevent's: whoever waits for packets does not wait in vain as long as some pass by."""
        while True:
            self._has_passed = False
            self._is_awaited = block
            try:
                return super().get(block, timeout)
            except Empty:
                if not self._has_passed:
                    raise
            finally:
                self._is_awaited = False

    def wake(self) -> None:
        """Let the greenlet that sends packets finish what is stuck; before the upgrade, start another."""
        writer, client = self._writer, self._client
        if client is not None and client.upgraded:
            super().put(_REST)
        elif writer is not None:
            spawn(_finish, writer)


def _finish(writer: TurnWriter) -> None:
    with suppress(OSError):  # the reader finds the end
        writer.finish()


class _Ordered:
    """The socket of a websocket, as simple-websocket uses it: what that sends stays in order with packets."""

    def __init__(self, sock: ClientSocket, writer: TurnWriter) -> None:
        self._writer = writer
        self._sock = sock
        self.recv = sock.recv

    def send(self, data: bytes | bytearray) -> int:
        """Send what is no packet at once: its sender may close the connection next.

        An answer to a client that does not read waits for it, so nothing more is read from it meanwhile.
        """
        self._writer.put(bytes(data))
        self._writer.write()
        if self._writer.is_stuck:
            self._writer.finish()
        if self._writer.is_broken:
            raise BrokenPipeError("the client has closed the connection")
        return len(data)

    def close(self) -> None:
        self._writer.write()
        self._sock.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever else a socket has
        return getattr(self._sock, name)


def _direct(base: Any, take_socket: _TakeSocket) -> type[Any]:  # noqa: ANN401 - as above
    """Return a class of Engine.IO's for websockets, with packets that pass by."""

    class DirectWebSocket(base):  # type: ignore[misc]  # Engine.IO has no types
        """A websocket of Engine.IO's whose packets go to its socket directly."""

        writer: TurnWriter | None = None

        def __init__(self, handler: Callable[[Any], Any], server: object) -> None:
            super().__init__(partial(_run, handler, take_socket), server)

        def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
            if isinstance(environ.get("gunicorn.socket"), ClientSocket):
                environ = {name: value for name, value in environ.items() if name != _EXTENSIONS}
            answer: Iterable[bytes] = super().__call__(environ, start_response)
            return answer

        def send(self, message: str | bytes | _Rest) -> None:
            writer = self.writer
            if writer is None:
                super().send(message)
                return
            if writer.is_broken:
                raise OSError("the client has closed the connection")
            if not isinstance(message, _Rest):
                writer.put(websocket_frame(message))
            if writer.is_stuck:
                writer.finish()

    return DirectWebSocket


def _run(handler: Callable[[Any], Any], take_socket: _TakeSocket, websocket: Any) -> Any:  # noqa: ANN401 - Engine.IO's
    """Let packets pass by as long as Engine.IO's handler serves a client."""
    client = getattr(handler, "__self__", None)
    outbox = getattr(client, "queue", None)
    writer = take_socket(websocket, outbox.wake) if isinstance(outbox, Outbox) else None
    if outbox is None or writer is None:
        return handler(websocket)
    websocket.writer = writer
    outbox.open(writer, client)
    try:
        return handler(websocket)
    finally:
        outbox.shut()


def _of_simple_websocket(websocket: Any, stuck: Callable[[], None]) -> TurnWriter | None:  # noqa: ANN401 - Engine.IO's
    sock = websocket.ws.sock
    if not isinstance(sock, ClientSocket):
        return None
    writer = TurnWriter(sock, stuck)
    websocket.ws.sock = _Ordered(sock, writer)
    return writer


def _of_gevent_websocket(websocket: Any, stuck: Callable[[], None]) -> TurnWriter | None:  # noqa: ANN401 - as above
    sock = websocket._sock.handler.socket
    if not isinstance(sock, ClientSocket):
        return None
    writer = TurnWriter(sock, stuck)
    websocket._sock.raw_write = _Ordered(sock, writer).send
    return writer


def install() -> bool:
    """Let the websockets of Engine.IO be written directly in this process from now on.

    Returns:
        Whether they are: Engine.IO is imported, and nobody has opted out.
    """
    driver = sys.modules.get(_DRIVER)
    if driver is None or os.environ.get(PLAIN_WEBSOCKETS, "") not in ("", "0"):
        return False
    parts: Any = getattr(driver, "_async", None)
    websocket: Any = getattr(driver, "WebSocketWSGI", None)
    if websocket is None or not isinstance(parts, dict):
        return False
    if parts.get("queue") is not JoinableQueue or parts.get("websocket") is not websocket:
        return False
    is_simple = getattr(driver, "SimpleWebSocketWSGI", None) is not None
    parts.update(
        websocket=_direct(websocket, _of_simple_websocket if is_simple else _of_gevent_websocket), queue=Outbox
    )
    return True
