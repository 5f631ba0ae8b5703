"""Packets: what goes out comes in, and nothing else does."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodecluster_compat.connections.packets import (
    PACKET_BYTES,
    Packet,
    PacketKind,
    decode_packet,
    encode_packet,
)
from nodecluster_compat.errors import FrameError


@pytest.mark.parametrize("kind", list(PacketKind))
def test_packet_makes_the_round_trip(kind: PacketKind) -> None:
    """A packet is its kind and its listener."""
    assert decode_packet(encode_packet(kind, 3)) == Packet(kind, 3)


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x09\x00\x00\x00\x01", b"\x01\x00\x00\x00\x01\x00"])
def test_packet_that_is_none_raises(data: bytes) -> None:
    """Another length or an unknown kind is garbage."""
    with pytest.raises(FrameError):
        decode_packet(data)


@given(st.sampled_from(PacketKind), st.integers(0, 2**32 - 1))
def test_packet_of_any_listener_has_the_fixed_size(kind: PacketKind, listener_id: int) -> None:
    """Every number that fits makes the round trip in the same number of bytes."""
    data = encode_packet(kind, listener_id)
    assert len(data) == PACKET_BYTES
    assert decode_packet(data) == Packet(kind, listener_id)


@given(st.binary(max_size=12))
def test_arbitrary_bytes_are_a_packet_or_raise_frame_error(data: bytes) -> None:
    """What decodes is exactly what encodes to it; anything else raises FrameError and nothing else."""
    with contextlib.suppress(FrameError):
        assert encode_packet(*decode_packet(data)) == data


def test_packet_without_listener_says_zero() -> None:
    """Where a listener does not apply its number is 0."""
    assert decode_packet(encode_packet(PacketKind.LEAVE)) == Packet(PacketKind.LEAVE, 0)


def test_bad_packet_raises_every_time() -> None:
    """Remembered decodings do not turn a bad packet into a good one."""
    for _ in range(2):
        with pytest.raises(FrameError, match="makes no sense"):
            decode_packet(b"\x00\x00\x00\x00\x01")
