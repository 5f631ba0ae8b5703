"""Whatever allocation fails while a channel is read: no descriptor stays open, and in C the frames stay whole."""

from __future__ import annotations

import _socket
import array
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import count

import pytest
from without_collector import without_collector

from nodecluster_compat.base.loop import Loop
from nodecluster_compat.base.native import PYTHON, Choice, in_force
from nodecluster_compat.errors import ClusterError
from nodecluster_compat.messages.channel import Channel
from nodecluster_compat.messages.frames import LARGE_BYTES, Frame, FrameKind, encode_frame

testcapi = pytest.importorskip("_testcapi", reason="no module of CPython that lets allocations fail")

_CALM = 20  # times that all was told, and the end is reached
_NEVER = 1 << 30
_WHOLE = encode_frame(FrameKind.HANDLE, b"s[1]")
_HALF = len(_WHOLE) - 2
_LATER = encode_frame(FrameKind.MESSAGE, b"later")
_ALL = [(b"s[1]", True), (b"later", False)]


@pytest.fixture(autouse=True)
def _by_itself() -> Iterator[None]:
    with without_collector():
        yield


class Scene:
    """A channel to which a descriptor comes."""

    def __init__(self, choice: Choice) -> None:
        self.loop = Loop(logging.getLogger("test"))
        self.far, ours = _socket.socketpair()
        self.far.setblocking(False)
        self.told: list[tuple[bytes, bool]] = []
        self.ended: list[ClusterError | None] = []
        self.was_ended = False
        self.channel = Channel(ours, self._frame, self.ended.append, choice=choice)
        self.channel.attach(self.loop)

    def _frame(self, frame: Frame) -> None:
        testcapi.remove_mem_hooks()  # what a handler does with it is its own
        self.told.append((bytes(frame.payload), frame.fd is not None))
        if frame.fd is not None:
            os.close(frame.fd)

    def send(self, data: bytes) -> None:
        """With a descriptor beside it."""
        reading, writing = os.pipe()
        self.far.sendmsg([data], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", [reading]))])
        os.close(reading)
        os.close(writing)

    def turn(self, number: int | None = None) -> None:
        """Let the channel read, while one allocation fails."""
        run = self.loop.run_once
        if number is not None:
            testcapi.set_nomemory(number, number + 1)
        try:
            run(0)
        except MemoryError:
            pass
        finally:
            testcapi.remove_mem_hooks()

    def close(self) -> None:
        self.channel.close()
        self.far.close()
        self.loop.close()

    def read_all(self) -> None:
        for _ in range(3):
            self.turn()


def played(choice: Choice, first: bytes, number: int) -> Scene:
    """Let a frame come, of which this much comes while an allocation fails, and another one behind it."""
    scene = Scene(choice)
    scene.turn()
    scene.send(first)
    scene.turn(number)
    with suppress(BrokenPipeError):
        scene.far.send(_WHOLE[len(first) :] + _LATER)
    scene.read_all()
    scene.was_ended = bool(scene.ended)
    scene.close()
    return scene


@pytest.mark.parametrize("first", [_WHOLE, _WHOLE[:_HALF]], ids=["whole", "half"])
@pytest.mark.parametrize("choice", [in_force(), PYTHON], ids=["native", "python"])
def test_no_descriptor_is_lost(choice: Choice, first: bytes) -> None:
    if choice is not PYTHON and choice.module is None:
        pytest.skip(str(choice))
    played(choice, first, _NEVER)
    before, calm = os.listdir("/proc/self/fd"), 0
    for number in count():
        scene = played(choice, first, number)
        assert os.listdir("/proc/self/fd") == before, number
        if choice is not PYTHON:
            assert not scene.was_ended, number
            assert scene.told[-1] == (b"later", False), number
        calm = calm + 1 if scene.told == _ALL else 0
        if calm > _CALM:
            break


_LARGE = bytes(range(256)) * 400


def large(number: int) -> Scene:
    """Let a large frame come, of which the middle comes while an allocation fails, and another one behind it."""
    scene = Scene(in_force())
    frame = encode_frame(FrameKind.MESSAGE, _LARGE)
    scene.far.send(frame[:LARGE_BYTES])
    scene.read_all()
    scene.far.send(frame[LARGE_BYTES:-10])
    scene.turn(number)
    scene.far.send(frame[-10:])
    scene.turn(number)
    scene.far.send(_LATER)
    scene.read_all()
    scene.was_ended = bool(scene.ended)
    scene.close()
    return scene


@pytest.mark.skipif(in_force().module is None, reason=str(in_force()))
def test_large_frame_stays_whole() -> None:
    """The kernel writes it where there is room already, and so nothing is allocated once a part of it was read."""
    for number in range(_CALM * 2):
        scene = large(number)
        assert not scene.was_ended, number
        assert scene.told == [(_LARGE, False), (b"later", False)], number
