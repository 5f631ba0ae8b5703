"""The primary's ends of a worker's streams."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from nodecluster_compat.base.loop import Loop
from nodecluster_compat.errors import ArgumentError, ArgumentTypeError, ChannelClosed
from nodecluster_compat.roles.pipes import DuplexPipe, ReadablePipe, WritablePipe


@pytest.fixture
def loop() -> Iterator[Loop]:
    """A loop of its own."""
    made = Loop(logging.getLogger("pipes"))
    yield made
    made.close()


def turn(loop: Loop, turns: int = 5) -> None:
    for _ in range(turns):
        loop.run_once(0)


def test_duplex_pipe_ends_one_way_at_a_time(loop: Loop) -> None:
    """What the worker writes after ``end()`` is still read."""
    ours, theirs = socket.socketpair()
    pipe = DuplexPipe(ours.detach(), loop)
    seen: list[Any] = []
    pipe.on("data", seen.append)
    pipe.on("end", lambda: seen.append("end"))
    pipe.on("close", lambda: seen.append("close"))
    pipe.write("question")
    pipe.end(b"?")
    turn(loop)
    with theirs.makefile("rb") as written:
        assert written.read() == b"question?"
    theirs.sendall(b"answer")
    turn(loop)
    assert seen == [b"answer"]
    with pytest.raises(ChannelClosed):
        pipe.write("more")
    theirs.close()
    turn(loop)
    assert seen == [b"answer", "end", "close"]
    assert pipe.fileno() == -1


@pytest.mark.parametrize("data", [5, None, ["x"], object()])
def test_only_bytes_and_text_are_written(loop: Loop, data: Any) -> None:
    """``bytes(5)`` would be five zeros."""
    reading, writing = os.pipe()
    pipe = WritablePipe(writing, loop)
    with pytest.raises(ArgumentTypeError, match="expected bytes or text"):
        pipe.write(data)
    pipe.close()
    os.close(reading)


def test_when_the_worker_has_ended(loop: Loop) -> None:
    """What nobody listens for is thrown away, so that the descriptor is given back; there is nobody to write to."""
    reading, writing = os.pipe()
    os.write(writing, b"unheard")
    os.close(writing)
    stdout = ReadablePipe(reading, loop)
    far, near = os.pipe()
    os.close(far)
    stdin = WritablePipe(near, loop)
    closed: list[str] = []
    stdout.on("close", lambda: closed.append("stdout"))
    stdin.on("close", lambda: closed.append("stdin"))
    turn(loop)
    assert closed == []
    stdout.worker_ended()
    stdin.worker_ended()
    turn(loop)
    assert sorted(closed) == ["stdin", "stdout"]


def test_pipe_is_read_as_text_and_on_demand(loop: Loop) -> None:
    """A character that comes in two pieces is one; while paused nothing is read."""
    reading, writing = os.pipe()
    pipe = ReadablePipe(reading, loop).set_encoding("utf8")
    seen: list[Any] = []
    pipe.on("data", seen.append)
    os.write(writing, b"\xc3")
    turn(loop)
    pipe.pause()
    os.write(writing, b"\xa4\xff")
    turn(loop)
    assert seen == []
    pipe.resume()
    os.close(writing)
    turn(loop)
    assert ("".join(seen), pipe.destroyed) == ("\xe4\ufffd", True)
    with pytest.raises(ArgumentTypeError, match="expected a file or a pipe"):
        pipe.pipe(5)
    for encoding in ("hex", "nonsense"):
        with pytest.raises(ArgumentError, match="expected the name of an encoding"):
            pipe.set_encoding(encoding)


def test_pipe_goes_on_into_files_and_other_pipes(loop: Loop) -> None:
    """Bytes into either kind of file, in order with what that has; another pipe ends with it."""
    reading, writing = os.pipe()
    other_reading, other_writing = os.pipe()
    text, raw = io.TextIOWrapper(io.BytesIO()), io.BytesIO()
    text.write("before ")
    pipe = ReadablePipe(reading, loop)
    assert pipe.pipe(text) is text
    pipe.pipe(raw)
    pipe.pipe(WritablePipe(other_writing, loop))
    os.write(writing, b"data")
    os.close(writing)
    turn(loop)
    assert (text.buffer.getvalue(), raw.getvalue()) == (b"before data", b"data")  # type: ignore[attr-defined]
    with open(other_reading, "rb") as file:
        assert file.read() == b"data"


def test_writer_is_told_when_to_wait_and_when_to_go_on(loop: Loop) -> None:
    """As in Node: ``False`` from 16 KiB on, and ``drain`` when all of it has gone, once."""
    reading, writing = os.pipe()
    pipe = WritablePipe(writing, loop)
    drained: list[int] = []
    pipe.on("drain", lambda: drained.append(pipe.writable_length))
    assert pipe.write(b"x" * 16383)
    assert not pipe.write(b"x")
    assert (pipe.writable_length, pipe.writable_need_drain) == (16384, True)
    turn(loop)
    assert (drained, pipe.writable_need_drain) == ([0], False)
    assert pipe.write(b"x")
    turn(loop)
    assert drained == [0]
    pipe.close()
    os.close(reading)


def test_pipe_reads_no_more_than_the_slowest_of_its_destinations_takes(loop: Loop) -> None:
    """A worker that does not read costs the primary no memory; the one that writes waits for it."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    ends = [os.pipe(), os.pipe()]
    source, (slow, quick) = ReadablePipe(reading, loop), [WritablePipe(near, loop) for _, near in ends]
    source.pipe(slow)
    source.pipe(quick)
    written = 0
    for _ in range(20):
        with contextlib.suppress(BlockingIOError):
            written += os.write(writing, b"x" * 65536)
        turn(loop)
        with contextlib.suppress(BlockingIOError):
            os.set_blocking(ends[1][0], False)
            os.read(ends[1][0], 1 << 20)
    assert written < 5 * 65536  # in three pipes of the kernel, and one slice here
    assert slow.writable_length <= 65536
    slow.close()  # nobody waits for it any more
    turn(loop)
    assert os.write(writing, b"x" * 4096) == 4096
    turn(loop)
    assert source.is_open
    assert os.read(ends[1][0], 1 << 20)
    for fd in (writing, ends[0][0], ends[1][0]):
        os.close(fd)
    source.close()
    quick.close()


def test_destination_that_ended_while_it_was_full_holds_up_no_other(loop: Loop) -> None:
    """By its worker's end, or by ``end()`` of a stream that is read on."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    source = ReadablePipe(reading, loop)
    near, far = socket.socketpair()
    duplex = DuplexPipe(near.detach(), loop)
    closed_reading, closed_writing = os.pipe()
    dead = WritablePipe(closed_writing, loop)
    for destination in (dead, duplex):
        source.pipe(destination)
        os.write(writing, b"x" * 32768)
        source.resume()
        turn(loop)
    dead.close()
    duplex.end()
    turn(loop)
    with far:
        far.setblocking(False)
        for _ in range(4):
            with contextlib.suppress(BlockingIOError):
                far.recv(1 << 20)
            turn(loop)
    heard: list[bytes] = []
    source.on("data", heard.append)
    source.resume()
    os.write(writing, b"further")
    turn(loop)
    assert b"further" in b"".join(heard)
    for fd in (writing, closed_reading):
        os.close(fd)
    source.close()
    duplex.close()


def test_what_is_written_arrives_whole_and_then_the_end(loop: Loop) -> None:
    """Nothing is read before somebody listens; what is written arrives; the end is told."""
    reading, writing = os.pipe()
    pipe, said = ReadablePipe(reading, loop), WritablePipe(writing, loop)
    got: list[Any] = []
    said.write("text ")
    said.write(b"bytes" * 50_000)
    said.end()
    with pytest.raises(ChannelClosed):
        said.write("late")
    loop.run_once(0)
    pipe.on("data", got.append)
    pipe.on("end", lambda: got.append("end"))
    for _ in range(200):
        loop.run_once(0)
    assert b"".join(got[:-1]) == b"text " + b"bytes" * 50_000
    assert got[-1] == "end"
    assert (pipe.fileno(), said.fileno()) == (-1, -1)
