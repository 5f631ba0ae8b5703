"""Frames, messages and packets: what goes out comes in, and nothing else does."""

from __future__ import annotations

import contextlib
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodecluster_compat.codec import (
    Frame,
    FrameDecoder,
    FrameKind,
    decode_address,
    decode_message,
    encode_address,
    encode_frame,
    encode_message,
)
from nodecluster_compat.errors import FrameError, MessageNotSerializable, MessageTooLarge
from nodecluster_compat.packets import Packet, PacketKind, decode_packet, encode_packet
from nodecluster_compat.records import Address

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=10,
)


def frames(data: bytes) -> list[Frame]:
    return list(FrameDecoder().feed(data))


@given(json_values)
def test_message_arrives_as_it_was_sent(value: object) -> None:
    """Whatever JSON can carry makes the round trip."""
    [frame] = frames(encode_message(value))
    assert frame.kind is FrameKind.MESSAGE
    assert decode_message(frame.payload) == value


@given(st.lists(st.tuples(st.sampled_from(FrameKind), st.binary(max_size=40)), max_size=8), st.integers(1, 7))
def test_frames_survive_any_chunking(sent: list[tuple[FrameKind, bytes]], size: int) -> None:
    """How the stream is cut does not matter."""
    stream = b"".join(encode_frame(kind, payload) for kind, payload in sent)
    decoder = FrameDecoder()
    received: list[Frame] = []
    for start in range(0, len(stream), size):
        received += decoder.feed(stream[start : start + size])
    assert [(frame.kind, frame.payload) for frame in received] == sent
    assert decoder.buffered == 0


@given(st.binary(max_size=200))
def test_garbage_raises_or_waits_and_is_never_more_than_was_fed(data: bytes) -> None:
    """Arbitrary bytes raise FrameError at the worst, and never claim memory that did not arrive."""
    decoder = FrameDecoder(limit=50)
    with contextlib.suppress(FrameError):
        list(decoder.feed(data))
    assert decoder.buffered <= len(data)


def test_frame_over_the_limit_raises_at_its_header() -> None:
    """A length over the limit is refused before any payload has come."""
    with pytest.raises(FrameError, match="limit is 10"):
        list(FrameDecoder(limit=10).feed(encode_frame(FrameKind.MESSAGE, b"x" * 11)[:5]))


@pytest.mark.parametrize("message", [object(), {1, object()}, lambda: None, "\ud800", float])
def test_message_that_json_cannot_carry_raises(message: object) -> None:
    """The sender gets one exception, which says what was expected."""
    with pytest.raises(MessageNotSerializable, match="expected a message that JSON can carry"):
        encode_message(message)


def test_message_that_refers_to_itself_raises() -> None:
    """A cycle is an error of the sender, not a crash."""
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(MessageNotSerializable):
        encode_message(loop)


def test_message_over_the_limit_raises() -> None:
    """The sentence names the limit and what came."""
    with pytest.raises(MessageTooLarge, match="at most 8 bytes once encoded, got 12"):
        encode_message("0123456789", limit=8)


def test_values_that_have_a_json_form_arrive_in_it() -> None:
    """Dates become text, tuples lists, not-a-number null: as in Node's JSON mode."""
    sent = [dt.date(2020, 1, 2), (1, 2), float("nan")]
    [frame] = frames(encode_message(sent))
    assert decode_message(frame.payload) == ["2020-01-02", [1, 2], None]


@pytest.mark.parametrize("address", [Address("127.0.0.1", 80, 4), Address("::1", 1, 6), Address("\0x", -1, -1)])
def test_address_makes_the_round_trip(address: Address) -> None:
    """The address of a listening frame is the worker's."""
    [frame] = frames(encode_address(7, address))
    assert decode_address(frame.payload) == (7, address)


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"listener":1,"address":null,"port":1,"type":5}', b"\xff"])
def test_address_that_is_none_raises(payload: bytes) -> None:
    """A listening frame that holds something else is garbage."""
    with pytest.raises(FrameError):
        decode_address(payload)


@pytest.mark.parametrize("kind", list(PacketKind))
def test_packet_makes_the_round_trip(kind: PacketKind) -> None:
    """A packet is its kind and its listener."""
    assert decode_packet(encode_packet(kind, 3)) == Packet(kind, 3)


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x09\x00\x00\x00\x01", b"\x01\x00\x00\x00\x01\x00"])
def test_packet_that_is_none_raises(data: bytes) -> None:
    """Another length or an unknown kind is garbage."""
    with pytest.raises(FrameError):
        decode_packet(data)
