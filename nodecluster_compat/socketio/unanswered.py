"""Close clients that stopped answering pings in a task of their own, because their handlers may wait.

Engine.IO notices such a client as it sends, and closes the connection there, which runs the application's handler of
``disconnect``.  That would hold up what is sent to all others: in the listener, what other workers say and their
answers to the handler itself; and with recovery, every emit and every connect.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from engineio.exceptions import SocketIsClosedError

__all__ = ["end_apart", "end_apart_in_tasks"]


def end_apart(eio: Any) -> None:  # noqa: ANN401 - Engine.IO has no types
    """Let an Engine.IO server that waits end such clients in the background."""
    send = eio.send_packet

    def send_packet(eio_sid: str, packet: object) -> None:
        socket = _unanswered(eio, eio_sid)
        if socket is None:
            send(eio_sid, packet)
        elif not socket.closing:
            eio.start_background_task(end, socket)

    def end(socket: Any) -> None:  # noqa: ANN401 - as above
        with suppress(SocketIsClosedError):
            socket.check_ping_timeout()

    eio.send_packet = send_packet


def end_apart_in_tasks(eio: Any) -> None:  # noqa: ANN401 - as above
    """As :func:`end_apart`, for one that awaits."""
    send = eio.send_packet

    async def send_packet(eio_sid: str, packet: object) -> None:
        socket = _unanswered(eio, eio_sid)
        if socket is None:
            await send(eio_sid, packet)
        elif not socket.closing:
            eio.start_background_task(end, socket)

    async def end(socket: Any) -> None:  # noqa: ANN401 - as above
        with suppress(SocketIsClosedError):
            await socket.check_ping_timeout()

    eio.send_packet = send_packet


def _unanswered(eio: Any, eio_sid: str) -> Any:  # noqa: ANN401 - as above
    """Return the connection of a client that Engine.IO would close now; ``None`` for any other."""
    socket = eio.sockets.get(eio_sid)
    if socket is None or not socket.last_ping or socket.closed:
        return None
    return socket if time.time() - socket.last_ping > eio.ping_timeout else None
