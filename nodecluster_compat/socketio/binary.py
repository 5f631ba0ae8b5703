"""Send bytes to clients of both transports: to websockets as they are, to those that poll as text.

Engine.IO encodes a packet once, for the client that comes first, and gives that form to all others.  Who polls then
gets what cannot be put into an answer, and is disconnected.
"""

from __future__ import annotations

from typing import Any

from engineio.packet import Packet
from socketio.base_server import BaseServer

__all__ = ["send_in_both_forms"]


class _BinaryPacket(Packet):  # type: ignore[misc]  # Engine.IO has no types
    """A packet of which only the text is kept."""

    def encode(self, b64: bool = False) -> Any:  # noqa: ANN401 - as above
        """Return base64 where that is asked for, the bytes otherwise."""
        return super().encode(b64=True) if b64 else self.data


def send_in_both_forms(server: Any) -> None:  # noqa: ANN401 - python-socketio has no types
    """Let a Socket.IO server, one that awaits or not, send each packet as its client can read it.

    A stand-in for a server, of somebody's tests, is left as it is: they look at how often that was called.
    """
    if not isinstance(server, BaseServer):
        return
    send = server._send_eio_packet

    def send_packet(eio_sid: str, packet: Any) -> Any:  # noqa: ANN401 - as above
        if packet.binary and type(packet) is Packet:
            packet.__class__ = _BinaryPacket
        return send(eio_sid, packet)

    server._send_eio_packet = send_packet
