"""Descriptors in messages: one at a time, in order, each closed by whoever has it last; real sockets in one process."""

from __future__ import annotations

import _socket
import logging
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from message_frames import encode_message

from nodecluster_compat.base.loop import Loop
from nodecluster_compat.errors import (
    ChannelClosed,
    ChannelFull,
    ClusterError,
    FrameError,
    HandleNotPassable,
)
from nodecluster_compat.messages.channel import FRAME_COST, Channel
from nodecluster_compat.messages.frames import Frame, FrameKind, encode_frame
from nodecluster_compat.messages.line import Line
from nodecluster_compat.messages.payloads import encode_payload

LOG = logging.getLogger("test")


class Rig:
    """Two ends of a channel; the far one acknowledges when told to."""

    def __init__(self) -> None:
        self.loop = Loop(LOG)
        ours, theirs = _socket.socketpair()
        self.frames: list[Frame] = []
        self.closed: list[ClusterError | None] = []
        self.near = Channel(ours, self.frames.append, self.closed.append)
        self.far_frames: list[Frame] = []
        self.far_closed: list[ClusterError | None] = []
        self.far = Channel(theirs, self.far_frames.append, self.far_closed.append)
        self.line = Line(self.near, LOG)
        self.near.attach(self.loop)
        self.far.attach(self.loop)

    def turn(self) -> None:
        for _ in range(10):
            self.loop.run_once(0)

    def send(self, message: Any, handle: Any = None, **more: Any) -> bool:
        errors: list[ClusterError] = []
        keep = more.pop("keep_open", False)
        return self.line.send(message, handle, keep, more.get("callback"), more.get("report", errors.append))


@pytest.fixture
def rig(no_leaks: None) -> Iterator[Rig]:
    made = Rig()
    yield made
    made.near.close()
    made.far.close()
    made.line.closed()
    for frame in made.far_frames:
        if frame.fd is not None:
            _socket.close(frame.fd)
    made.loop.close()


def test_socket_goes_and_order_holds(rig: Rig) -> None:
    """What is sent behind a descriptor waits for its arrival; the sender's socket is detached, then closed."""
    ours, theirs = socket.socketpair()
    written: list[Any] = []
    assert rig.send("before")
    assert rig.send("with", ours, callback=written.append)
    assert (rig.send("second"), rig.send("third")) == (True, False)
    assert ours.fileno() == -1
    rig.turn()
    assert [frame.kind for frame in rig.far_frames] == [FrameKind.MESSAGE, FrameKind.HANDLE]
    message, received = rig.line.open(rig.far_frames.pop())
    rig.line.taken()
    rig.turn()
    assert [frame.payload for frame in rig.far_frames[1:]] == [b'"second"', b'"third"']
    received.sendall(b"through")
    received.close()
    assert (message, theirs.recv(10), theirs.recv(10)) == ("with", b"through", b"")
    assert written == [None]
    theirs.close()


def test_descriptor_that_did_not_arrive_is_sent_again_and_given_up(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Three times more, as in Node; then its message is dropped, and what waited goes on."""
    ours, theirs = socket.socketpair()
    rig.send("with", ours)
    rig.send("behind")
    for _ in range(4):
        rig.turn()
        rig.line.not_taken()
    rig.turn()
    kinds = [frame.kind for frame in rig.far_frames]
    assert kinds == [FrameKind.HANDLE] * 4 + [FrameKind.MESSAGE]
    assert "A handle was not received after 4 attempts" in caplog.text
    theirs.close()


@pytest.mark.parametrize("answer", [Line.taken, Line.not_taken])
def test_answer_to_descriptor_that_was_not_sent_yet_is_ignored(rig: Rig, answer: Callable[[Line], None]) -> None:
    """Else it would be closed, and whatever has its number by the time that the kernel takes more would be sent."""
    ours, theirs = socket.socketpair()
    rig.send("x" * 1_000_000)
    rig.send("with", ours)
    for _ in range(5):
        answer(rig.line)
    another = os.open(os.devnull, os.O_RDWR)
    rig.send("behind")
    while len(rig.far_frames) < 2:
        rig.turn()
    message, received = rig.line.open(rig.far_frames.pop())
    received.sendall(b"through")
    received.close()
    os.close(another)
    assert (message, theirs.recv(10)) == ("with", b"through")
    rig.line.taken()
    rig.turn()
    assert rig.far_frames.pop().payload == b'"behind"'
    theirs.close()


def test_keep_open_keeps_and_servers_always_do(rig: Rig) -> None:
    """The copy goes, the original stays."""
    ours, theirs = socket.socketpair()
    rig.send("kept", ours, keep_open=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        rig.line.taken()
        rig.send("server", server)
        assert server.fileno() >= 0
    assert ours.fileno() >= 0
    rig.turn()
    assert [frame.payload[:1] for frame in rig.far_frames] == [b"s", b"l"]
    ours.close()
    theirs.close()


def test_what_cannot_go(rig: Rig) -> None:
    """A file, a number: an exception, and nothing is sent; a message that cannot be encoded costs no socket."""
    for handle in (5, "text", object(), open(__file__)):  # noqa: SIM115
        with pytest.raises(HandleNotPassable, match="expected a socket or a server as handle"):
            rig.send("x", handle)
        if hasattr(handle, "close"):
            handle.close()
    ours, theirs = socket.socketpair()
    with pytest.raises(TypeError):
        rig.send(object(), ours)
    assert ours.fileno() >= 0
    ours.close()
    theirs.close()
    rig.turn()
    assert rig.far_frames == []


def test_closed_channel_leaves_the_socket_with_its_sender(rig: Rig) -> None:
    """Node: the sender must dispose of it."""
    rig.near.close()
    ours, theirs = socket.socketpair()
    told: list[Any] = []
    assert rig.send("x", ours, report=told.append) is False
    assert isinstance(told[0], ChannelClosed)
    assert ours.fileno() >= 0
    ours.close()
    theirs.close()


@pytest.mark.parametrize("spare", range(8))
def test_socket_of_a_message_that_is_refused_at_the_bound_stays(rig: Rig, spare: int) -> None:
    """Whatever the size: either the message is taken, or the sender keeps its socket."""
    rig.near._max_queued = 1_000_000
    while rig.near.queued_bytes < 500_000:
        rig.near.send(encode_message("x" * 100_000))
    room = 1_000_000 - rig.near.queued_bytes - FRAME_COST * len(rig.near._writer.queue.frames)
    ours, theirs = socket.socketpair()
    errors: list[ClusterError] = []
    rig.send("x" * (room - 2 - spare), ours, report=errors.append)
    assert (ours.fileno() >= 0) is bool(errors)
    ours.close()
    theirs.close()


def test_waiting_messages_hear_of_the_end(rig: Rig) -> None:
    """A channel that closes while a descriptor is under way: callbacks of what waits behind it get the error."""
    ours, theirs = socket.socketpair()
    told: list[Any] = []
    rig.send("with", ours)
    rig.send("behind", callback=told.append)
    rig.near.close()
    rig.line.closed()
    rig.turn()
    assert [type(error) for error in told] == [ChannelClosed]
    [arrived] = rig.far_frames
    assert arrived.fd is not None  # what was under way has arrived; nobody will ever say so
    theirs.close()


def test_descriptors_that_nobody_announced_close_the_channel(rig: Rig) -> None:
    """A hostile worker cannot fill the primary with descriptors."""
    reading, writing = os.pipe()
    for _ in range(20):
        try:
            with socket.socket(fileno=os.dup(rig.far.fileno())) as far:
                socket.send_fds(far, [encode_message("x")], [reading])
        except OSError:
            break
        rig.turn()
    assert isinstance(rig.closed[0], FrameError)
    os.close(reading)
    os.close(writing)


def test_handle_frame_without_a_descriptor_is_known_as_such(rig: Rig) -> None:
    """The receiver had no room for it, or a worker forges one."""
    rig.far.send(encode_frame(FrameKind.HANDLE, b"s" + encode_payload("x")))
    rig.turn()
    assert rig.frames == [Frame(FrameKind.HANDLE, b's"x"', None)]


def test_refused_handle_stays_with_its_sender_and_waiting_ones_are_bounded(rig: Rig) -> None:
    """A receiver that never says that one arrived costs 64 descriptors and no more; the error says so."""
    pairs = [socket.socketpair() for _ in range(66)]
    outcomes: list[ClusterError | None] = []
    errors: list[ClusterError] = []
    for ours, _ in pairs[:65]:
        rig.send("x", ours)
    last = pairs[65][0]
    assert rig.send("x", last, report=errors.append) is False
    assert rig.send("x", last, callback=outcomes.append) is False
    assert rig.send("text without one still waits its turn", report=errors.append) is False
    rig.turn()
    assert [type(error) for error in errors] == [ChannelFull]
    assert [type(outcome) for outcome in outcomes] == [ChannelFull]
    assert "64 handles already wait" in str(outcomes[0])
    assert last.fileno() >= 0
    rig.line.taken()
    assert rig.send("x", last) is False  # taken now, and it waits
    assert last.fileno() == -1
    for ours, theirs in pairs:
        ours.close()
        theirs.close()
