"""The message channel over a real socket pair, turned by hand."""

from __future__ import annotations

import _socket
import contextlib
import errno
import logging
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodecluster_compat.base.loop import Loop
from nodecluster_compat.errors import ChannelBroken, ChannelClosed, ChannelFull, ClusterError, FrameError
from nodecluster_compat.messages import pace, reader
from nodecluster_compat.messages.channel import PRESSURE_BYTES, Channel
from nodecluster_compat.messages.frames import HEADER, Frame, FrameDecoder, FrameKind, encode_frame
from nodecluster_compat.messages.reader import SLICE_FRAMES


class End:
    """One end of a pair, and what it heard."""

    def __init__(self, sock: _socket.socket, max_queued: int) -> None:
        self.frames: list[Frame] = []
        self.closed: list[ClusterError | None] = []
        self.outcomes: list[ClusterError | None] = []
        self.channel = Channel(sock, self.frames.append, self.closed.append, max_queued)


class Pair:
    """Two ends on one loop."""

    def __init__(self, max_queued: int = 1_000_000) -> None:
        self.loop = Loop(logging.getLogger("test"))
        one, two = _socket.socketpair()
        self.a, self.b = End(one, max_queued), End(two, max_queued)

    def attach(self) -> None:
        self.a.channel.attach(self.loop)
        self.b.channel.attach(self.loop)

    def turn(self, times: int = 50) -> None:
        for _ in range(times):
            self.loop.run_once(0)

    def close(self) -> None:
        self.a.channel.close()
        self.b.channel.close()
        self.loop.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    made.attach()
    yield made
    made.close()


def frame(payload: bytes) -> bytes:
    return encode_frame(FrameKind.MESSAGE, payload)


def test_frames_arrive_in_order(pair: Pair) -> None:
    """What is sent first arrives first, small or large."""
    payloads = [b"a", b"b" * 700_000, b"", b"c"]
    for payload in payloads:
        pair.a.channel.send(frame(payload), pair.a.outcomes.append)
    assert pair.a.outcomes == []
    pair.turn()
    assert [f.payload for f in pair.b.frames] == payloads
    assert pair.a.outcomes == [None] * 4


def test_frames_that_a_small_buffer_cuts_arrive_whole() -> None:
    """The kernel takes a part of what is longer than half of its buffer, and more when the other side has read."""
    one, two = _socket.socketpair()
    one.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, 1)  # as small as it can be
    loop, sender, receiver = Loop(logging.getLogger("test")), End(one, 1_000_000), End(two, 1_000_000)
    for end in (sender, receiver):
        end.channel.attach(loop)
    payloads = [bytes([65 + number]) * (500 * number) for number in range(12)]
    for payload in payloads:
        sender.channel.send(frame(payload), sender.outcomes.append)
    for _ in range(100):
        loop.run_once(0)
    assert [f.payload for f in receiver.frames] == payloads
    assert sender.outcomes == [None] * len(payloads)
    sender.channel.close()
    receiver.channel.close()
    loop.close()


class Cutting:
    """A socket whose kernel cuts what is small, too."""

    def __init__(self, sock: _socket.socket) -> None:
        self._sock = sock

    def send(self, data: bytes) -> int:
        return self._sock.send(data[:7])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def test_small_frame_that_is_cut_all_the_same_arrives_whole(pair: Pair) -> None:
    """As no Linux does it."""
    writer = pair.a.channel._writer
    writer._sock = Cutting(writer._sock)  # type: ignore[assignment]
    for payload in (b"first frame", b"second frame"):
        pair.a.channel.send(frame(payload), pair.a.outcomes.append)
    pair.turn()
    assert [f.payload for f in pair.b.frames] == [b"first frame", b"second frame"]
    assert pair.a.outcomes == [None, None]
    assert pair.a.channel.queued_bytes == 0


@given(st.binary(max_size=12), st.binary(max_size=4))
def test_frame_that_comes_alone_is_the_one_that_feeding_gives(data: bytes, before: bytes) -> None:
    """And whatever is no frame alone is left to be fed."""
    size = max(0, len(data) - 5)
    for candidate in (data, frame(data), size.to_bytes(4, "big") + data[4:]):
        decoder, other = FrameDecoder(limit=8), FrameDecoder(limit=8)
        with contextlib.suppress(FrameError):
            assert list(decoder.feed(before)) == list(other.feed(before))
        only = decoder.only(candidate)
        if only is not None:
            assert list(other.feed(candidate)) == [only]
            assert not other._rest


@pytest.mark.usefixtures("whole_slices")
def test_slice_is_told_once_for_what_came_together() -> None:
    """After its last frame; a frame that comes alone is a slice, too."""
    one, two = _socket.socketpair()
    heard: list[bytes | bytearray | None] = []
    channel = Channel(two, lambda each: heard.append(each.payload), lambda _: None, on_slice=lambda: heard.append(None))
    loop = Loop(logging.getLogger("test"))
    channel.attach(loop)
    for together in ([b"a", b"b", b"c"], [b"alone"]):
        one.send(b"".join(map(frame, together)))
        loop.run_once(0)
    assert heard == [b"a", b"b", b"c", None, b"alone", None]
    channel.close()
    one.close()
    loop.close()


def test_small_frames_around_a_large_one_keep_their_place(pair: Pair) -> None:
    """A large frame is read another way than the small ones before and behind it."""
    payloads = [b"before", bytes(range(256)) * 3000, b"behind", b"x" * 20_000, b"last"]
    for payload in payloads:
        pair.a.channel.send(frame(payload))
    pair.turn()
    assert [f.payload for f in pair.b.frames] == payloads


def test_send_says_false_under_pressure_and_still_delivers(pair: Pair) -> None:
    """False above Node's threshold does not mean lost."""
    assert pair.a.channel.send(frame(b"small"))
    answers = [pair.a.channel.send(frame(b"x" * 60_000)) for _ in range(14)]
    assert answers[0] is True
    assert answers[-1] is False
    assert pair.a.channel.queued_bytes >= PRESSURE_BYTES
    pair.turn()
    assert len(pair.b.frames) == 15
    assert pair.a.channel.queued_bytes == 0


def test_small_frames_count_what_they_cost() -> None:
    """A frame of a few bytes takes hundreds in memory: the bound is one of memory."""
    pair = Pair(max_queued=1_000_000)
    pair.a.channel.attach(pair.loop)  # the other end never reads
    told: list[ClusterError | None] = []
    while not told and pair.a.channel.queued_bytes < 100_000:
        pair.a.channel.send(frame(b"x"), told.append)
        pair.loop.run_once(0)
        told = [error for error in told if error is not None]
    assert isinstance(told[0], ChannelFull)
    pair.close()


def test_full_channel_refuses_the_whole_frame() -> None:
    """At its bound the channel takes nothing in part, and says so by callback or exception."""
    pair = Pair(max_queued=300_000)
    pair.a.channel.attach(pair.loop)
    while pair.a.channel.queued_bytes < 250_000:
        pair.a.channel.send(frame(b"x" * 50_000))
    waiting = pair.a.channel.queued_bytes
    with pytest.raises(ChannelFull, match="wait"):
        pair.a.channel.send(frame(b"y" * 100_000))
    assert pair.a.channel.send(frame(b"y" * 100_000), pair.a.outcomes.append) is False
    assert pair.a.channel.queued_bytes == waiting
    pair.turn(1)
    assert isinstance(pair.a.outcomes[0], ChannelFull)
    pair.b.channel.attach(pair.loop)
    pair.turn()
    assert not any(f.payload.startswith(b"y") for f in pair.b.frames)
    pair.close()


def test_close_is_seen_once_by_each_side(pair: Pair) -> None:
    """An orderly end comes without an error, and only once."""
    pair.a.channel.close()
    pair.a.channel.close()
    pair.turn()
    assert (pair.a.closed, pair.b.closed) == ([None], [None])
    assert not pair.b.channel.is_open


def test_send_on_a_closed_channel_is_refused(pair: Pair) -> None:
    """The callback hears of it later; without one it raises."""
    pair.a.channel.close()
    with pytest.raises(ChannelClosed):
        pair.a.channel.send(frame(b"x"))
    assert pair.a.channel.send(frame(b"x"), pair.a.outcomes.append) is False
    assert pair.a.outcomes == []
    pair.turn(1)
    assert isinstance(pair.a.outcomes[0], ChannelClosed)


def test_frames_sent_before_the_peer_closed_arrive(pair: Pair) -> None:
    """The end of the stream comes after everything before it."""
    pair.a.channel.send(frame(b"last words"))
    pair.a.channel.close()
    pair.turn()
    assert [f.payload for f in pair.b.frames] == [b"last words"]
    assert pair.b.closed == [None]


def test_garbage_closes_the_channel(pair: Pair) -> None:
    """After one bad byte no later byte is believed."""
    pair.a.channel._sock.send(b"\xff" * 64)
    pair.turn()
    assert isinstance(pair.b.closed[0], FrameError)
    assert pair.b.frames == []


def test_peer_that_vanishes_fails_what_waits(pair: Pair) -> None:
    """Callbacks of frames that were never written hear that the channel broke."""
    pair.loop.remove_reader(pair.b.channel.fileno())
    for _ in range(12):
        pair.a.channel.send(frame(b"x" * 60_000), pair.a.outcomes.append)
    pair.b.channel.abandon()
    pair.turn()
    assert len(pair.a.outcomes) == 12
    assert isinstance(pair.a.outcomes[-1], (ChannelBroken, ChannelClosed))
    assert len(pair.a.closed) == 1


def test_frames_before_attach_are_written_and_their_callbacks_come_later() -> None:
    """A worker speaks before its runtime exists."""
    pair = Pair()
    pair.a.channel.send(frame(b"early"), pair.a.outcomes.append)
    assert pair.a.outcomes == []
    pair.attach()
    pair.turn(2)
    assert [f.payload for f in pair.b.frames] == [b"early"]
    assert pair.a.outcomes == [None]
    pair.close()


def test_flood_gets_one_slice_a_turn(pair: Pair) -> None:
    """A peer that floods cannot keep the loop to itself."""
    pair.b.channel.send(frame(b"x" * 900_000))
    seen: list[str] = []
    pair.loop.call_soon(seen.append, "turn")
    pair.loop.run_once(0)
    assert seen == ["turn"]
    assert pair.a.frames == []


@pytest.mark.parametrize("kind", [FrameKind.MESSAGE, FrameKind.TAKEN, FrameKind.DUE, FrameKind.LISTENING])
def test_many_small_frames_are_more_than_one_slice(pair: Pair, kind: FrameKind) -> None:
    """A slice is limited by frames, too: those of a few bytes are thousands to a read.  All arrive, in order."""
    sent = [encode_frame(kind, b"%d" % number) for number in range(3 * SLICE_FRAMES)]
    pair.a.channel._sock.send(b"".join(sent))
    pair.loop.run_once(0)
    assert 0 < len(pair.b.frames) <= SLICE_FRAMES
    for _ in range(1000):
        before = len(pair.b.frames)
        pair.loop.run_once(0)
        assert len(pair.b.frames) - before <= SLICE_FRAMES
    assert [frame.payload for frame in pair.b.frames] == [b"%d" % number for number in range(3 * SLICE_FRAMES)]


def test_slice_is_limited_by_time(pair: Pair) -> None:
    """A frame whose handler takes long is the last one of its turn."""

    def slow(heard: Frame) -> None:
        pair.b.frames.append(heard)
        until = time.monotonic() + 2 * reader.SLICE_SECONDS
        while time.monotonic() < until:
            pass

    pair.b.channel._reader._on_frame = slow
    pair.a.channel._sock.send(frame(b"slow") * 3)
    pair.loop.run_once(0)
    assert len(pair.b.frames) == 1


def test_frames_of_a_slice_come_before_the_end_of_the_peer(pair: Pair) -> None:
    """What waits for its turn is delivered before the channel is closed."""
    pair.a.channel._sock.send(frame(b"x") * 2 * SLICE_FRAMES)
    pair.a.channel.close()
    for _ in range(1000):
        pair.loop.run_once(0)
    assert len(pair.b.frames) == 2 * SLICE_FRAMES
    assert pair.b.closed == [None]


def test_frames_of_a_slice_wait_while_the_channel_is_paused(pair: Pair) -> None:
    """Pausing holds back what was received, too."""
    pair.a.channel._sock.send(frame(b"x") * 3 * SLICE_FRAMES)
    pair.loop.run_once(0)
    pair.b.channel.pause_reading()
    arrived = len(pair.b.frames)
    pair.turn()
    assert len(pair.b.frames) == arrived
    pair.b.channel.resume_reading()
    for _ in range(1000):
        pair.loop.run_once(0)
    assert len(pair.b.frames) == 3 * SLICE_FRAMES


def test_handler_that_raises_holds_up_no_later_frame(pair: Pair) -> None:
    """What it leaves of the slice goes on."""

    def broken(frame: Frame) -> None:
        pair.b.frames.append(frame)
        if len(pair.b.frames) == 2:
            raise ValueError("a bug")

    pair.b.channel._reader._on_frame = broken
    pair.a.channel._sock.send(frame(b"x") * 5)
    pair.turn()
    assert len(pair.b.frames) == 5


def test_dead_peer_is_heard_out_at_once(pair: Pair) -> None:
    """Before ``exit`` is told, everything that it had written is, whatever a slice is."""
    pair.a.channel._sock.send(frame(b"x") * 3 * SLICE_FRAMES)
    pair.loop.run_once(0)
    pair.b.channel.drain()
    assert len(pair.b.frames) == 3 * SLICE_FRAMES
    pair.b.channel.close()
    pair.b.channel.drain()  # its end was seen before: nothing more is there
    assert pair.b.closed == [None]


def test_flood_rests_and_everything_arrives(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who fills slice after slice is read at a pace; nothing is lost, and the end is seen."""
    monkeypatch.setattr(pace, "BURST_SECONDS", 0.0)
    rests: list[float] = []
    call_later = pair.loop.call_later
    monkeypatch.setattr(pair.loop, "call_later", lambda seconds, call: rests.append(seconds) or call_later(0.0, call))
    for _ in range(5):
        pair.a.channel.send(frame(b"x" * 10) * 3000)
    pair.a.channel.flush(0)
    while len(pair.b.frames) < 15_000:
        pair.loop.run_once(0.01)
    assert rests
    pair.a.channel.close()
    pair.turn()
    assert pair.b.closed == [None]


def test_rest_survives_a_pause_and_an_end(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever happens to a channel while it rests, its timer finds it as it is."""
    monkeypatch.setattr(pace, "BURST_SECONDS", -1.0)
    pair.a.channel._sock.send(frame(b"x" * 10) * 2000)
    pair.loop.run_once(0)
    rested = pair.b.channel._reader._rested
    arrived = len(pair.b.frames)
    pair.b.channel.pause_reading()
    rested()
    assert len(pair.b.frames) == arrived
    pair.b.channel.resume_reading()
    rested()
    assert len(pair.b.frames) > arrived
    pair.b.channel.close()
    rested()


def test_heir_of_a_dead_peer_that_writes_on_is_not_heard_for_ever(pair: Pair) -> None:
    """A process that the peer forked may have its end: what it writes while the peer is heard out does not count."""
    sock = pair.a.channel._sock

    def write_on(heard: Frame) -> None:
        pair.b.frames.append(heard)
        assert len(pair.b.frames) < 20_000
        with contextlib.suppress(BlockingIOError):
            sock.send(frame(b"x"))

    pair.b.channel._reader._on_frame = write_on
    sock.send(frame(b"x") * 1000)
    pair.b.channel.drain()
    assert len(pair.b.frames) >= 1000


def test_paused_channel_leaves_bytes_in_the_kernel(pair: Pair) -> None:
    """Pausing keeps frames away; resuming brings them."""
    pair.b.channel.pause_reading()
    pair.a.channel.send(frame(b"wait"))
    pair.turn()
    assert pair.b.frames == []
    pair.b.channel.resume_reading()
    pair.turn()
    assert [f.payload for f in pair.b.frames] == [b"wait"]


def test_flush_writes_everything_before_the_end() -> None:
    """A process that ends waits for the kernel to take what it said."""
    pair = Pair()
    pair.a.channel.send(frame(b"x" * 100))
    pair.a.channel.flush(1.0)
    pair.a.channel.close()
    pair.b.channel.drain()
    assert [len(f.payload) for f in pair.b.frames] == [100]
    pair.close()


def test_peer_that_asks_on_and_reads_no_answer_is_garbage() -> None:
    """Answers that wait are bounded; one that reads may ask for ever."""
    pair = Pair()
    pair.a.channel.attach(pair.loop)
    answer = encode_frame(FrameKind.TAKEN, b"x" * 1000)

    def ask_until_refused() -> int:
        for asked in range(100_000):
            with contextlib.suppress(FrameError):
                pair.a.channel.answer(answer)
                continue
            return asked
        return -1

    first = ask_until_refused()
    assert 1024 <= first < 3000  # what the kernel holds, and 1024 more
    pair.b.channel.attach(pair.loop)
    pair.turn(500)
    assert len(pair.b.frames) == first
    assert pair.a.channel.queued_bytes == 0
    for _ in range(5):
        assert 1024 <= ask_until_refused() <= 3000
        pair.turn(500)
    pair.close()


class Exhausted:
    """A socket to which the kernel says a few times that it has no more to give."""

    def __init__(self, sock: _socket.socket, number: int) -> None:
        self._sock = sock
        self._number = number
        self.refusals = 3

    def send(self, frame: bytes) -> int:
        return self.sendmsg((frame,))

    def sendmsg(self, *args: Any) -> int:
        if self.refusals:
            self.refusals -= 1
            raise OSError(self._number, "as told")
        return self._sock.sendmsg(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


@pytest.mark.parametrize("number", [errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM])
def test_kernel_that_is_exhausted_is_asked_again_after_a_rest(
    pair: Pair, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not on every turn; nothing is lost, and what is sent meanwhile waits behind."""
    rests: list[Any] = []
    monkeypatch.setattr(pair.loop, "call_later", lambda _, callback: rests.append(callback))
    exhausted = Exhausted(pair.a.channel._sock, number)
    pair.a.channel._writer._sock = exhausted  # type: ignore[assignment]
    pair.a.channel.send(frame(b"first"), pair.a.outcomes.append)
    pair.turn()
    pair.a.channel.send(frame(b"second"), pair.a.outcomes.append)
    for left in (2, 1, 0):
        pair.turn()
        assert exhausted.refusals == left
        rests.pop()()
    pair.turn()
    assert rests == []
    assert [f.payload for f in pair.b.frames] == [b"first", b"second"]
    assert pair.a.outcomes == [None, None]


def test_channel_that_is_closed_while_it_rests_stays_closed(pair: Pair) -> None:
    """Its frames are lost, and their senders are told."""
    pair.a.channel._writer._sock = Exhausted(pair.a.channel._sock, errno.ENOBUFS)  # type: ignore[assignment]
    pair.a.channel.send(frame(b"first"), pair.a.outcomes.append)
    pair.a.channel.close()
    pair.loop.run_once(1)
    pair.turn()
    assert [type(one) for one in pair.a.outcomes] == [ChannelClosed]


def test_large_frame_has_room_for_little_more_than_has_come(pair: Pair) -> None:
    """A header may announce a lot: that alone takes no memory."""
    announced = 100_000_000
    pair.a.channel.send(HEADER.pack(announced, FrameKind.MESSAGE) + b"x" * 100_000)
    pair.turn()
    payload = pair.b.channel._reader._decoder._payload
    assert payload is not None
    assert len(payload) == 100_000
    assert sys.getsizeof(payload) < 2_000_000


@pytest.mark.parametrize("come", [0, 1, 300_000], ids=["header alone", "one byte", "most"])
def test_large_frame_that_is_cut_behind_its_header_arrives_whole(come: int) -> None:
    """Where the next slice begins, nothing of the payload may have come."""
    payload = bytes(range(256)) * 1200
    sent = encode_frame(FrameKind.MESSAGE, payload)
    ours, theirs = _socket.socketpair()
    theirs.setblocking(False)
    end, loop = End(ours, 1_000_000), Loop(logging.getLogger("test"))
    end.channel.attach(loop)
    for part in (sent[: HEADER.size + come], sent[HEADER.size + come :]):
        rest = memoryview(part)
        while rest:
            rest = rest[theirs.send(rest[:50_000]) :]
            loop.run_once(0)
    assert [bytes(f.payload) for f in end.frames] == [payload]
    assert not bytearray()
    end.channel.close()
    theirs.close()
    loop.close()
