"""Encode and decode the packets of the connection channel: fixed size, one decision each.  No sockets.

The connection channel is a SEQPACKET pair of its own, so that no message, however large, stands between a connection
and its worker.  Beside the packet of an offer, and of a refusal, goes the descriptor of the connection.

Beside a connection of which a worker has read something goes a second descriptor, of memory with what that was
(``handed``): so the primary passes it on without reading it.

All packets have one size, and it is large: the kernel calls a channel with the smallest buffer writable again exactly
when the last packet of at least 200 bytes was taken (``kernel_check``).
"""

from __future__ import annotations

import struct
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

from ..errors import FrameError

__all__ = ["PACKET_BYTES", "Packet", "PacketKind", "decode_packet", "encode_packet"]

_LAYOUT: Final = struct.Struct("!BII247x")
PACKET_BYTES: Final = _LAYOUT.size


class PacketKind(IntEnum):
    """The kinds of packets; the direction in brackets (P primary, W worker)."""

    OFFER = 1  # [P→W] a connection of this listener, its descriptor beside the packet
    OFFER_TO_ANSWER = 2  # [P→W] the same, where the kernel does not tell what was taken: answer TAKEN
    PROBE = 3  # [P→W] nothing: that it is taken shows that the worker reads again
    TAKEN = 4  # [W→P] the answer, to a probe as well
    REFUSED = 5  # [W→P] a connection of this listener, given back: do not offer me one of it before ROOM
    ROOM = 6  # [W→P] I refused connections of this listener and can take them again
    LEAVE = 7  # [W→P] I take no more
    HANDED = 8  # [P→W] as OFFER, and a second descriptor: what another worker has read of it
    HANDED_TO_ANSWER = 9  # [P→W] the same, to be answered
    ROUTE = 10  # [W→P] a connection and what I have read of it: it belongs to this worker, or to anybody
    LOOK = 11  # [W→P] I route connections: look at what has come before you deal them

    __hash__ = int.__hash__  # an enumeration's own is a function in Python


_KINDS: Final = {kind.value: kind for kind in PacketKind}


class Packet(NamedTuple):
    """One decoded packet; ``listener_id`` and ``target`` (a worker's id) are 0 where they do not apply."""

    kind: PacketKind
    listener_id: int
    target: int = 0


@lru_cache(maxsize=1024)
def encode_packet(kind: PacketKind, listener_id: int = 0, target: int = 0) -> bytes:
    """Return the bytes of one packet; there are only as many as kinds times listeners, and workers."""
    return _LAYOUT.pack(kind, listener_id, target)


@lru_cache(maxsize=1024)
def decode_packet(data: bytes) -> Packet:
    """Return the packet.

    Raises:
        FrameError: it has another length, an unknown kind, or something where nothing belongs.
    """
    try:
        number, listener_id, target = _LAYOUT.unpack(data)
        packet = Packet(_KINDS[number], listener_id, target)
    except (struct.error, KeyError):
        packet = None
    if packet is None or encode_packet(*packet) != data or (packet.target and packet.kind is not PacketKind.ROUTE):
        raise FrameError(f"a packet on the connection channel makes no sense: {data[:16]!r}")
    return packet
