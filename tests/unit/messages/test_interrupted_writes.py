"""Signal handlers run between two lines of a write, and may send, close, raise: each frame goes once, in order.

The kernel itself raises the signal, at the moment when the frame has arrived at the other end: inside of the system
call, so that the handler runs as soon as Python looks.
"""

from __future__ import annotations

import _socket
import fcntl
import logging
import os
import random
import signal
from collections.abc import Callable, Iterator

import pytest

from nodecluster_compat.base.loop import Loop
from nodecluster_compat.messages import write_queue, writer
from nodecluster_compat.messages.channel import Channel
from nodecluster_compat.messages.frames import FrameDecoder, FrameKind, encode_frame
from nodecluster_compat.messages.write_queue import BURST_FRAMES
from nodecluster_compat.messages.writer import write_collected


def look() -> None:
    """Python looks for signals whenever a function begins: what it interrupts is over by now, or not."""


class Rig:
    """A channel, and a signal at each arrival of what it writes."""

    def __init__(self) -> None:
        self.loop = Loop(logging.getLogger("test"))
        ours, self.far = _socket.socketpair()
        self.far.setblocking(False)
        self.closed: list[object] = []
        self.channel = Channel(ours, lambda frame: None, self.closed.append)
        self.channel.attach(self.loop)
        self.decoder = FrameDecoder()
        fcntl.fcntl(self.far.fileno(), fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(self.far.fileno(), fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC)

    def send(self, what: str) -> None:
        self.channel.send(encode_frame(FrameKind.MESSAGE, what.encode()))
        look()

    def on_arrival(self, act: Callable[[], None], times: int = 1) -> None:
        """Let a signal handler do this, at the next arrivals."""
        left = [act] * times

        def handler(*_: object) -> None:
            if left:
                left.pop()()

        signal.signal(signal.SIGIO, handler)

    def arrived(self) -> list[str]:
        self.loop.run_once(0)
        return [bytes(frame.payload).decode() for frame in self.decoder.feed(self.far.recv(1 << 20))]


@pytest.fixture
def rig() -> Iterator[Rig]:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    made = Rig()
    yield made
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    made.channel.close()
    made.far.close()
    made.loop.close()
    signal.signal(signal.SIGIO, before)


def test_handler_that_sends(rig: Rig) -> None:
    rig.on_arrival(lambda: rig.send("late"))
    rig.send("first")
    rig.send("second")
    assert rig.arrived() == ["first", "late", "second"]
    assert rig.channel.queued_bytes == 0


def test_handler_that_sends_at_each_of_its_own(rig: Rig) -> None:
    """Handlers interrupt what was done for other handlers, too."""
    rig.on_arrival(lambda: rig.send("late"), times=10)
    rig.send("first")
    assert rig.arrived() == ["first", *["late"] * 10]


def test_handler_that_ends_the_process(rig: Rig) -> None:
    """``process.exit()``: everything is written, and nothing twice."""

    def leave() -> None:
        rig.send("last words")
        rig.channel.flush(5)
        raise SystemExit

    rig.on_arrival(leave)
    with pytest.raises(SystemExit):
        rig.send("first")
    assert rig.arrived() == ["first", "last words"]
    assert rig.channel.queued_bytes == 0


def test_handler_that_interrupts_with_an_error(rig: Rig) -> None:
    """A time limit, Ctrl-C: the frame has gone, and the next one does not bring it again."""

    def give_up() -> None:
        raise TimeoutError

    rig.on_arrival(give_up)
    with pytest.raises(TimeoutError):
        rig.send("first")
    rig.send("second")
    assert rig.arrived() == ["first", "second"]


def test_handler_that_interrupts_what_was_collected(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many frames in one system call, the last one in part; a flood, however slow the machine is."""
    monkeypatch.setattr(writer, "BURST_SECONDS", 1000.0)
    monkeypatch.setattr(write_queue, "BURST_SECONDS", 1000.0)
    count = BURST_FRAMES + 10
    for number in range(BURST_FRAMES):
        rig.send(str(number))
    for number in range(BURST_FRAMES, count):
        rig.send(str(number))

    def leave() -> None:
        rig.channel.flush(5)
        raise SystemExit

    rig.on_arrival(leave)
    with pytest.raises(SystemExit):
        write_collected()
    assert rig.arrived() == [str(number) for number in range(count)]


def test_handler_that_interrupts_a_frame_in_parts(rig: Rig) -> None:
    """The kernel takes less than there is: the rest is the rest."""
    large = "x" * 1_000_000

    def give_up() -> None:
        raise TimeoutError

    rig.on_arrival(give_up)
    with pytest.raises(TimeoutError):
        rig.send(large)
    rig.send("after")
    frames: list[str] = []
    while len(frames) < 2:
        frames += rig.arrived()
    assert [len(frame) for frame in frames] == [len(large), len("after")]
    assert rig.channel.queued_bytes == 0


def test_handler_that_closes(rig: Rig) -> None:
    """What was sent before has gone, and the end is told once."""

    def leave() -> None:
        rig.send("last words")
        rig.channel.close()

    rig.on_arrival(leave)
    rig.send("first")
    assert rig.arrived() == ["first", "last words"]
    assert rig.closed == [None]


@pytest.fixture
def alarms() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Let something happen after some microseconds, wherever the test is by then."""
    before = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    microseconds = random.Random(1)

    def arm(act: Callable[[], None]) -> None:
        signal.signal(signal.SIGALRM, lambda *_: act())
        signal.setitimer(signal.ITIMER_REAL, microseconds.randint(1, 60) / 1e6)

    yield arm
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


ROUNDS = 3000


def test_handler_that_sends_at_any_line(rig: Rig, alarms: Callable[[Callable[[], None]], None]) -> None:
    """Each sender's frames arrive once and in order, at once or on the next turn, and the counts are right."""
    sent = {"main": 0, "late": 0}
    arrived: dict[str, list[int]] = {"main": [], "late": []}

    def send(who: str) -> None:
        sent[who] += 1
        rig.send(f"{who} {sent[who]}")

    for number in range(ROUNDS):
        alarms(lambda: send("late"))
        for _ in range(1 + number % 30):
            send("main")
        signal.setitimer(signal.ITIMER_REAL, 0)
        rig.loop.run_once(0)
        for frame in rig.arrived():
            who, count = frame.split()
            arrived[who].append(int(count))
        assert not rig.channel.queued_bytes
    assert arrived == {who: list(range(1, count + 1)) for who, count in sent.items()}


def test_handler_that_raises_at_any_line(rig: Rig, alarms: Callable[[Callable[[], None]], None]) -> None:
    """No frame comes twice or out of order, none waits for ever, and the counts are right."""

    may_raise = False

    def give_up() -> None:
        if may_raise:
            raise FileNotFoundError(2, "a handler's own")

    arrived: list[int] = []
    for number in range(ROUNDS):
        try:
            may_raise = True
            alarms(give_up)
            for part in range(1 + number % 30):
                rig.send(str(number * 100 + part))
            may_raise = False
        except FileNotFoundError:
            may_raise = False
        rig.send(str(number * 100 + 99))
        rig.loop.run_once(0)
        arrived += map(int, rig.arrived())
        assert arrived[-1] == number * 100 + 99
        assert not rig.channel.queued_bytes
    assert arrived == sorted(set(arrived))
