"""Which frames are written at once and which together: never in another order, and nothing collected is lost."""

from __future__ import annotations

import _socket
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manual_clock import ManualClock

from nodecluster_compat.base.loop import Loop
from nodecluster_compat.errors import ClusterError
from nodecluster_compat.messages import writer as channel_writer
from nodecluster_compat.messages.channel import Channel
from nodecluster_compat.messages.frames import FrameDecoder, FrameKind, encode_frame
from nodecluster_compat.messages.write_queue import BURST_FRAMES, BURST_SECONDS, Burst, WriteQueue
from nodecluster_compat.messages.writer import write_collected


class Rig:
    """A channel, the bytes that the kernel has of it, and what its senders were told."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.loop = Loop(logging.getLogger("test"))
        ours, self.far = _socket.socketpair()
        self.far.setblocking(False)
        self.told: list[ClusterError | None] = []
        self.channel = Channel(ours, lambda frame: None, lambda error: None)
        self.channel.attach(self.loop)
        self.decoder = FrameDecoder()
        self.sent = 0

    def send(self, count: int) -> None:
        for _ in range(count):
            assert self.channel.send(encode_frame(FrameKind.MESSAGE, b"%d" % self.sent), self.told.append)
            self.sent += 1

    def arrived(self) -> int:
        """How many have arrived since the last call, in order."""
        try:
            data = self.far.recv(1 << 20)
        except BlockingIOError:
            return 0
        numbers = [int(frame.payload) for frame in self.decoder.feed(data)]
        if numbers:
            assert numbers == list(range(numbers[0], numbers[-1] + 1))
        return len(numbers)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    clock = ManualClock()
    monkeypatch.setattr(channel_writer, "time", clock)
    made = Rig(clock)
    yield made
    made.channel.close()
    made.far.close()
    made.loop.close()


def test_first_frames_go_at_once_and_a_flood_is_collected_until_the_turn_ends(rig: Rig) -> None:
    """A message before a long computation does not wait for its end."""
    rig.send(BURST_FRAMES)
    assert rig.arrived() == BURST_FRAMES
    rig.send(5)
    assert (rig.arrived(), rig.told) == (0, [])
    rig.loop.run_once(0)
    assert rig.arrived() == 5
    rig.loop.run_once(0)
    assert rig.told == [None] * (BURST_FRAMES + 5)


def test_collected_frames_wait_for_no_more_than_the_next_one_that_is_not_hurried(rig: Rig) -> None:
    """A turn that never ends holds back no more than what was sent in one thousandth of a second."""
    rig.send(BURST_FRAMES + 3)
    rig.clock.now += BURST_SECONDS * 2
    rig.send(1)
    assert rig.arrived() == BURST_FRAMES + 4


def test_flood_that_its_receiver_slows_down_is_collected(rig: Rig) -> None:
    """What is sent in one thousandth of a second, then, as long as there is no pause."""
    for _ in range(BURST_FRAMES):
        rig.send(1)
        rig.clock.now += BURST_SECONDS * 0.6
    assert rig.arrived() == BURST_FRAMES
    for expected in (0, 0, 3, 0, 2, 0, 2):
        rig.send(1)
        rig.clock.now += BURST_SECONDS * 0.6
        assert rig.arrived() == expected


def test_dialogue_is_no_flood(rig: Rig) -> None:
    """However fast it is: each frame goes at once, because the other side has spoken since the one before."""
    for _ in range(BURST_FRAMES * 3):
        rig.send(1)
        assert rig.arrived() == 1
        rig.far.send(encode_frame(FrameKind.MESSAGE, b"answer"))
        rig.loop.run_once(0)
    rig.send(BURST_FRAMES + 5)
    assert rig.arrived() == BURST_FRAMES


def test_flood_is_written_in_large_pieces(rig: Rig) -> None:
    """What is collected is bounded: the receiver has nearly all of it before the turn ends."""
    rig.send(BURST_FRAMES + 1000)
    assert rig.arrived() > 1000 - 64
    rig.loop.run_once(0)
    rig.arrived()
    assert rig.channel.queued_bytes == 0


def test_channel_that_closes_writes_what_it_collected(rig: Rig) -> None:
    """``send``, ``send``, …, ``disconnect``: all of it arrives, and the callbacks say so."""
    rig.send(BURST_FRAMES + 7)
    rig.channel.close()
    assert rig.arrived() == BURST_FRAMES + 7
    rig.loop.run_once(0)
    assert rig.told == [None] * (BURST_FRAMES + 7)


def test_process_that_ends_writes_what_was_collected(rig: Rig) -> None:
    """Whatever ends it, as long as Python's exit handlers run."""
    rig.send(BURST_FRAMES + 7)
    write_collected()
    assert rig.arrived() == BURST_FRAMES + 7


def test_forked_child_writes_nothing_of_its_parent(rig: Rig) -> None:
    """The inherited copy has collected frames, too: the parent's to write."""
    rig.send(BURST_FRAMES + 1)
    rig.arrived()
    rig.channel.abandon()
    write_collected()
    assert rig.arrived() == 0


def test_frames_behind_collected_ones_stay_behind(rig: Rig) -> None:
    """The runtime's own frames go through the same queue."""
    rig.send(BURST_FRAMES + 1)
    rig.channel.send_own(encode_frame(FrameKind.MESSAGE, b"%d" % rig.sent))
    rig.sent += 1
    rig.loop.run_once(0)
    assert rig.arrived() == rig.sent


@given(st.lists(st.floats(0, 0.01), max_size=60))
def test_burst_is_more_than_so_many_in_so_short_a_time(pauses: list[float]) -> None:
    """However frames come, none is held back that has had time to itself."""
    burst, now, began, count = Burst(), 10.0, 0.0, 0
    for pause in pauses:
        now += pause
        if now - began > BURST_SECONDS:
            began, count = now, 0
        count += 1
        assert burst.counts(now) is (count > BURST_FRAMES)


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=20), st.booleans()), min_size=1, max_size=30))
def test_counts_follow_what_waits(frames: list[tuple[bytes, bool]]) -> None:
    """Bytes and answers are counted in and out, and the order is that of the calls."""
    told: list[int] = []
    queue = WriteQueue()
    near, far = _socket.socketpair()
    for number, (frame, is_answer) in enumerate(frames):
        queue.add(frame, lambda _, number=number: told.append(number), None, is_answer)
    assert (queue.bytes_waiting, len(queue.frames)) == (sum(len(frame) for frame, _ in frames), len(frames))
    assert queue.answers_waiting == sum(is_answer for _, is_answer in frames)
    queue.write(near, lambda callback, outcome: callback(outcome))
    assert (queue.bytes_waiting, queue.answers_waiting, len(queue.frames)) == (0, 0, 0)
    assert told == list(range(len(frames)))
    assert far.recv(10_000) == b"".join(frame for frame, _ in frames)
    near.close()
    far.close()
