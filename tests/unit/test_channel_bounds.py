"""Arrays of the C extension behind a channel or a look have bounds: around each of them it does what Python does."""

from __future__ import annotations

import ctypes
import logging
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from engine_rig import EngineRig

from nodecluster_compat.base.loop import Loop
from nodecluster_compat.base.native import PYTHON, Choice, in_force
from nodecluster_compat.machine.peeking import MOST_PEEKED, peeker
from nodecluster_compat.messages.channel import Channel
from nodecluster_compat.messages.frames import HEADER, FrameDecoder, FrameKind, encode_frame
from nodecluster_compat.messages.line import Line
from nodecluster_compat.routing.engineio import EngineIO

pytestmark = pytest.mark.skipif(in_force().module is None, reason=str(in_force()))

LOG: Final = logging.getLogger("bounds")
MOST_SMALL: Final = 4096
SLICE_BYTES: Final = 16 * 1024
MOST_EVENTS: Final = 128
DIGITS: Final = 10
ORIGINAL: Final = 20
PATH_BYTES: Final = 108


def around(bound: int) -> range:
    return range(bound - 1, bound + 2)


# --- messages -------------------------------------------------------------------------------


def arrived(choice: Choice, *messages: str) -> tuple[list[object], bytes]:
    """What senders are told, and the bytes on the channel."""
    loop = Loop(LOG)
    ours, far = socket.socketpair()
    channel = Channel(ours, lambda frame: None, lambda error: None, choice=choice)
    line = Line(channel, LOG, limit=1 << 20, choice=choice)
    line.attach(loop)
    told: list[object] = []
    for message in messages:
        quick = None if line.send_quickly is None else line.send_quickly(message)
        told.append(quick if isinstance(quick, bool) else line.send(message, None, False, None, print, quick))
    with far:
        data = far.recv(1 << 20)
    channel.close()
    loop.close()
    return told, data


@pytest.mark.parametrize("size", around(MOST_SMALL))
def test_messages_that_are_written_at_once(size: int) -> None:
    """A frame of so many bytes, alone and behind another."""
    message = "x" * (size - HEADER.size - 2)
    for messages in ([message], ["a", message], [message] * 3):
        ours, python = (arrived(choice, *messages) for choice in (in_force(), PYTHON))
        assert ours == python
        assert len([*FrameDecoder().feed(ours[1])]) == len(messages)


def heard(choice: Choice, data: bytes) -> list[tuple[FrameKind, bytes]]:
    """The frames that are read of what has come at once."""
    loop, told = Loop(LOG), list[tuple[FrameKind, bytes]]()
    far, ours = socket.socketpair()
    channel = Channel(ours, lambda frame: told.append((frame.kind, bytes(frame.payload))), print, choice=choice)
    channel.attach(loop)
    far.sendall(data)
    while sum(HEADER.size + len(payload) for _, payload in told) < len(data):
        loop.run_once(20)
    channel.close()
    far.close()
    loop.close()
    return told


@pytest.mark.parametrize("size", around(SLICE_BYTES))
@pytest.mark.parametrize("count", [1, 2, 63, 64, 65])
def test_slices_that_are_full(size: int, count: int) -> None:
    """As one frame, and as many of which the last ends there; then another one."""
    small = encode_frame(FrameKind.MESSAGE, b"[1]")
    large = encode_frame(FrameKind.MESSAGE, b'"' + b"x" * (size - HEADER.size - 2 - len(small) * (count - 1)) + b'"')
    data = small * (count - 1) + large
    assert len(data) == size
    for more in (b"", small, small[:-1] + b"]" + data):
        assert heard(in_force(), data + more) == heard(PYTHON, data + more)


# --- looks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, *around(MOST_PEEKED)])
def test_bytes_that_are_looked_at(size: int) -> None:
    here, there = socket.socketpair()
    with here, there:
        there.sendall(b"x" * size)
        seen = [peeker(choice)(here.fileno(), MOST_PEEKED) for choice in (in_force(), PYTHON)]
    assert seen == [b"x" * min(size, MOST_PEEKED) or None] * 2
    for most in (0, MOST_PEEKED + 1):
        for choice in (in_force(), PYTHON):
            with pytest.raises(ValueError, match="expected a descriptor"):
                peeker(choice)(0, most)


def test_ids_of_a_few_characters_and_digits_more_than_are_read() -> None:
    look: Any = in_force().module and in_force().module.look  # type: ignore[union-attr]
    for letters in around(ORIGINAL):
        for digits in range(DIGITS + 3):
            for dot in (b".", b"%2E", b"%2"):
                for end in (b"", b" HTTP/1.1\r\n\r\n", b"&x"):
                    head = b"GET /?EIO=4&sid=" + b"i" * letters + dot + b"9" * digits + end
                    assert look(head) == EngineIO.look(head), head


# --- connections ----------------------------------------------------------------------------


@pytest.fixture(params=[in_force(), PYTHON], ids=["native", "python"])
def rig(request: pytest.FixtureRequest) -> Iterator[EngineRig]:
    made = EngineRig(False, request.param, socket.AF_UNIX)
    yield made
    made.close()


@pytest.mark.parametrize("count", around(MOST_EVENTS))
def test_workers_that_have_taken_at_once(rig: EngineRig, count: int) -> None:
    """More than one wait of the kernel's tells: each is idle again, and gets the next one."""
    workers = [rig.worker() for _ in range(count)]
    for rounds in (1, 2):
        for _ in workers:
            rig.connect()
        assert all(worker.has_offer() for worker in workers)
        for worker in workers:
            worker.take()
        rig.turn()
        assert [len(worker.has) for worker in workers] == [rounds] * count


@pytest.mark.parametrize("size", range(PATH_BYTES - 2, PATH_BYTES + 1))
@pytest.mark.parametrize("is_abstract", [False, True])
def test_addresses_that_fill_their_structure(
    rig: EngineRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, is_abstract: bool
) -> None:
    """Linux takes a path of as many bytes as there are, without a zero behind it."""
    monkeypatch.chdir(tmp_path)
    name = b"\0" + b"n" * (size - 1) if is_abstract else b"n" * size
    rig.worker()
    rig.connect()
    client = socket.socket(socket.AF_UNIX)
    rig.clients.append(client)
    address = struct.pack("H108s", socket.AF_UNIX, name)  # Python wishes a zero behind a path
    assert ctypes.CDLL(None, use_errno=True).bind(client.fileno(), address, 2 + size) == 0
    client.connect(rig.socks[0].getsockname())
    rig.turn()
    (waiting,) = rig.engine.listeners[rig.listener_ids[0]].dispatcher.queue
    assert waiting.peer == (name if is_abstract else name.decode())
