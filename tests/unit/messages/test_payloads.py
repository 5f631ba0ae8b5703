"""Frames and messages: what goes out comes in, and nothing else does."""

from __future__ import annotations

import contextlib
import datetime as dt
import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from message_frames import encode_message

from nodecluster_compat.base.records import Address
from nodecluster_compat.errors import FrameError, MessageNotSerializable, MessageTooLarge
from nodecluster_compat.messages.frames import HEADER, Frame, FrameDecoder, FrameKind, encode_frame
from nodecluster_compat.messages.payloads import decode_address, decode_disconnect, encode_address, encode_disconnect
from nodecluster_compat.messages.serialization import JSON

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=10,
)


def buffered(decoder: FrameDecoder) -> int:
    """Bytes that the decoder keeps of a frame that is not complete."""
    return len(decoder._rest) + (0 if decoder._payload is None else HEADER.size + len(decoder._payload))


def frames(data: bytes) -> list[Frame]:
    return list(FrameDecoder().feed(data))


@given(json_values)
def test_message_arrives_as_it_was_sent(value: object) -> None:
    """Whatever JSON can carry makes the round trip."""
    [frame] = frames(encode_message(value))
    assert frame.kind is FrameKind.MESSAGE
    assert JSON.decode(frame.payload) == value


@given(st.lists(st.tuples(st.sampled_from(FrameKind), st.binary(max_size=40)), max_size=8), st.integers(1, 7))
def test_frames_survive_any_chunking(sent: list[tuple[FrameKind, bytes]], size: int) -> None:
    """How the stream is cut does not matter."""
    stream = b"".join(encode_frame(kind, payload) for kind, payload in sent)
    decoder = FrameDecoder()
    received: list[Frame] = []
    for start in range(0, len(stream), size):
        received += decoder.feed(stream[start : start + size])
    assert [(frame.kind, frame.payload) for frame in received] == sent
    assert buffered(decoder) == 0


@given(st.binary(max_size=200))
def test_garbage_raises_or_waits_and_is_never_more_than_was_fed(data: bytes) -> None:
    """Arbitrary bytes raise FrameError at the worst, and never claim memory that did not arrive."""
    decoder = FrameDecoder(limit=50)
    with contextlib.suppress(FrameError):
        list(decoder.feed(data))
    assert buffered(decoder) <= len(data)


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
    assert JSON.decode(frame.payload) == ["2020-01-02", [1, 2], None]


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


@given(
    st.lists(st.tuples(st.sampled_from(FrameKind), st.binary(max_size=30)), max_size=6),
    st.lists(st.integers(0, 250), max_size=12),
    st.sampled_from([1, 8, 1000]),
)
def test_frames_cut_anywhere_decode_the_same_and_buffer_no_more_than_came(
    sent: list[tuple[FrameKind, bytes]], cuts: list[int], large: int
) -> None:
    """Any cuts, even empty pieces: the same frames, each as soon as its last byte has come."""
    stream = b"".join(encode_frame(kind, payload) for kind, payload in sent)
    decoder, received = FrameDecoder(large=large), []
    start = complete = 0
    for end in [*sorted(min(cut, len(stream)) for cut in cuts), len(stream)]:
        received += decoder.feed(stream[start:end])
        start = end
        complete = sum(len(encode_frame(frame.kind, frame.payload)) for frame in received)
        assert buffered(decoder) == end - complete
    assert [(frame.kind, frame.payload) for frame in received] == sent
    assert complete == len(stream)


@given(st.binary(min_size=20, max_size=200), st.integers(0, 24), st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_large_frame_takes_borrowed_pieces(payload: bytes, first: int, sizes: list[int]) -> None:
    """What is read into a buffer that is used again arrives as it was, and what follows the frame is cut as ever."""
    stream = encode_frame(FrameKind.MESSAGE, payload)
    decoder, borrowed = FrameDecoder(large=8), bytearray(40)
    received = list(decoder.feed(stream[:first]))
    if decoder.missing == 0:  # its header has not come
        received += decoder.feed(stream[first:25])
        first = 25
    while decoder.missing:
        size = min(sizes[len(received) % len(sizes)], decoder.missing)
        borrowed[:size] = stream[first : first + size]
        received += decoder.collect(memoryview(borrowed)[:size])
        borrowed[:] = bytes(40)
        first += size
    received += decoder.feed(encode_frame(FrameKind.ONLINE))
    assert [frame.payload for frame in received] == [payload, b""]


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_arbitrary_pieces_raise_frame_error_only_and_buffer_no_more_than_was_fed(pieces: list[bytes]) -> None:
    """However garbage is cut, and even when it is fed after the error, memory grows only with what arrived."""
    decoder, fed = FrameDecoder(limit=50), 0
    for piece in pieces:
        fed += len(piece)
        with contextlib.suppress(FrameError):
            for frame in decoder.feed(piece):
                assert len(frame.payload) <= 50
        assert buffered(decoder) <= fed


def test_frame_at_the_limit_is_taken_and_one_byte_more_is_not() -> None:
    """The limit is the largest payload that passes."""
    [frame] = FrameDecoder(limit=10).feed(encode_frame(FrameKind.MESSAGE, b"x" * 10))
    assert len(frame.payload) == 10
    with pytest.raises(FrameError):
        list(FrameDecoder(limit=10).feed(encode_frame(FrameKind.MESSAGE, b"x" * 11)))


def test_frames_before_garbage_are_delivered_and_garbage_raises_again() -> None:
    """What came whole before the bad byte counts; after it the stream stays of no use."""
    decoder = FrameDecoder()
    received: list[Frame] = []
    with pytest.raises(FrameError, match="unknown kind 99"):
        received.extend(decoder.feed(encode_frame(FrameKind.ONLINE) + b"\x00\x00\x00\x00\x63"))
    assert [frame.kind for frame in received] == [FrameKind.ONLINE]
    with pytest.raises(FrameError):
        list(decoder.feed(encode_frame(FrameKind.ONLINE)))


def test_reader_that_stops_in_the_middle_finds_the_rest_later() -> None:
    """Frames that were not asked for yet are neither lost nor given twice."""
    decoder = FrameDecoder()
    pieces = decoder.feed(b"".join(encode_frame(FrameKind.MESSAGE, b"%d" % n) for n in range(3)))
    assert next(pieces).payload == b"0"
    pieces.close()  # type: ignore[attr-defined]
    assert [frame.payload for frame in decoder.feed(b"")] == [b"1", b"2"]


@given(st.binary(max_size=60))
def test_arbitrary_payloads_decode_or_raise_frame_error(payload: bytes) -> None:
    """Neither a message nor an address raises anything else, whatever a worker sends."""
    with contextlib.suppress(FrameError):
        JSON.decode(payload)
    with contextlib.suppress(FrameError):
        decode_address(payload)


@pytest.mark.parametrize("payload", [b"[" * 100_000, b'{"a":' * 100_000, b"1" * 5_000, b"1e999", b'"\\ud800"', b"1 2"])
def test_message_that_bombs_the_decoder_raises_frame_error(payload: bytes) -> None:
    """Deep nesting, huge numbers, half a surrogate pair: one exception for all."""
    with pytest.raises(FrameError):
        JSON.decode(payload)


@given(st.integers())
def test_integer_of_any_size_arrives_or_is_refused_by_the_sender(number: int) -> None:
    """What encodes also decodes, to the same number: the receiver never pays for the sender's number."""
    [frame] = frames(encode_message(number))
    assert JSON.decode(frame.payload) == number


@pytest.mark.parametrize("exponent", [4_000, 4_400, 20_000])
def test_huge_integer_arrives_or_is_refused_by_the_sender(exponent: int) -> None:
    """Python's own limit on digits is the sender's error, never the receiver's."""
    try:
        [frame] = frames(encode_message(10**exponent))
    except MessageNotSerializable:
        return
    assert JSON.decode(frame.payload) == 10**exponent


def test_keys_that_are_no_strings_arrive_as_strings_or_are_refused() -> None:
    """Numbers become text, as in Node; what has no text form raises."""
    [frame] = frames(encode_message({1: "a"}))
    assert JSON.decode(frame.payload) == {"1": "a"}
    with pytest.raises(MessageNotSerializable):
        encode_message({(1, 2): "a"})


@pytest.mark.parametrize("address_type", [4, 6, -1, "udp4", "udp6"])
def test_address_of_every_type_keeps_its_descriptor(address_type: int | str) -> None:
    """All five types, with and without a descriptor and an address."""
    for address in (Address(None, 0, address_type), Address("x", 1, address_type, 7)):  # type: ignore[arg-type]
        [frame] = frames(encode_address(2**31, address))
        assert decode_address(frame.payload) == (2**31, address)


@given(st.none() | st.floats(0, 1e9) | st.integers(0, 10**9))
def test_timeout_of_a_drain_arrives(timeout: float | None) -> None:
    """A number, or nothing."""
    [frame] = frames(encode_disconnect(timeout))
    assert frame.kind is FrameKind.DISCONNECT
    assert decode_disconnect(frame.payload) == timeout


@pytest.mark.parametrize("payload", [b"-1", b"true", b'"5"', b"null", b"1e400", b"2e9", b"{", b"\xff", b"[1]"])
def test_disconnect_that_holds_no_time_is_a_frame_error(payload: bytes) -> None:
    """Whoever sent it does not speak this protocol."""
    with pytest.raises(FrameError, match="disconnect frame"):
        decode_disconnect(payload)


@pytest.mark.parametrize("is_enabled", [True, False])
def test_large_message_is_decoded_without_a_search_for_garbage(is_enabled: bool) -> None:
    """Whatever it holds; afterwards searches are as they were."""
    payload, searches = JSON.encode([[] for _ in range(100_000)]), []

    def note(phase: str, _: object) -> None:
        searches.append(phase)

    if not is_enabled:
        gc.disable()
    gc.callbacks.append(note)
    try:
        message = JSON.decode(payload)
        assert searches.count("start") <= 1  # what comes next begins one
        with pytest.raises(FrameError):
            JSON.decode(payload[:-1])
        assert gc.isenabled() is is_enabled
    finally:
        gc.callbacks.remove(note)
        gc.enable()
    assert message == [[]] * 100_000
