"""Descriptors in messages, pipes, shared sockets: real sockets in one process."""

from __future__ import annotations

import _socket
import errno
import logging
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from message_frames import encode_message
from own_descriptors import forget_others, own_descriptors

from nodecluster_compat.base.loop import Loop
from nodecluster_compat.base.native import PYTHON
from nodecluster_compat.base.records import ListenRequest
from nodecluster_compat.connections.dealer import Dealer
from nodecluster_compat.connections.policies import RoundRobin
from nodecluster_compat.connections.shared_sockets import SharedSockets
from nodecluster_compat.errors import (
    ChannelClosed,
    ChannelFull,
    ClusterError,
    FrameError,
    HandleNotPassable,
    ListenError,
)
from nodecluster_compat.machine.binding import bind
from nodecluster_compat.messages.channel import FRAME_COST, Channel
from nodecluster_compat.messages.frames import Frame, FrameKind, encode_frame
from nodecluster_compat.messages.line import Line
from nodecluster_compat.messages.passing import unpack
from nodecluster_compat.messages.payloads import encode_payload
from nodecluster_compat.roles.pipes import ReadablePipe, WritablePipe

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
def rig() -> Iterator[Rig]:
    forget_others()  # what they have left must not be closed meanwhile
    before = len(own_descriptors())
    made = Rig()
    yield made
    made.near.close()
    made.far.close()
    made.line.closed()
    for frame in made.far_frames:
        if frame.fd is not None:
            _socket.close(frame.fd)
    made.loop.close()
    assert len(own_descriptors()) == before, "descriptors leaked"


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


@pytest.mark.parametrize("kind", [b"s", b"l", b"u", b"?"])
def test_descriptor_that_is_no_socket_is_garbage(kind: bytes) -> None:
    """And it is closed."""
    reading, writing = os.pipe()
    line = Line(cast("Channel", None), LOG, choice=PYTHON)
    with pytest.raises(FrameError, match="no usable socket"):
        line.open(Frame(FrameKind.HANDLE, kind + b'"x"', reading))
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reading)
    os.close(writing)


def test_pipes() -> None:
    """Nothing is read before somebody listens; what is written arrives; the end is told."""
    loop = Loop(LOG)
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
    loop.close()


@pytest.fixture
def shared() -> Iterator[SharedSockets]:
    loop = Loop(LOG)
    made = SharedSockets(Dealer(loop, LOG, RoundRobin, 4, lambda _: None, lambda *_: None), lambda: True)
    yield made
    made.close()
    loop.close()


def test_workers_share_by_what_they_ask_for(shared: SharedSockets) -> None:
    """One socket for one address; one each for the ordinals of port 0; closed when the last has left."""
    ask = ListenRequest("127.0.0.1", 0, 4)
    first, second = shared.query(1, 10, ask).answer, shared.query(2, 11, ask).answer
    other = shared.query(1, 12, ListenRequest("127.0.0.1", 0, 4, ordinal=1)).answer
    assert first.name == second.name != other.name
    assert (first.request_id, second.request_id) == (10, 11)
    assert len(shared) == 2
    shared.leave(1, first.listener_id)
    shared.lost(1)
    assert len(shared) == 1
    shared.leave(2, first.listener_id)
    assert len(shared) == 0


def test_errors_are_answers_and_the_key_is_free_again(shared: SharedSockets) -> None:
    """EADDRINUSE of a foreign port, of the worker's own; a bad descriptor."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        ask = ListenRequest("127.0.0.1", holder.getsockname()[1], 4)
        assert shared.query(1, 1, ask).answer.errno == errno.EADDRINUSE
    assert shared.query(1, 2, ask).answer.errno == 0
    assert shared.query(1, 3, ask).answer.errno == errno.EADDRINUSE
    assert shared.query(1, 4, ListenRequest(None, -1, None, fd=9999)).answer.errno == errno.EINVAL


def test_udp_is_shared_by_descriptor(shared: SharedSockets) -> None:
    """Whatever the policy."""
    answer = shared.query(1, 1, ListenRequest("127.0.0.1", 0, "udp4"))
    assert answer.fd is not None


def test_binding_speaks_like_node(tmp_path: Path) -> None:
    """Codes, system call, address and port; a path is removed with its socket."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(ListenError) as caught:
            bind(ListenRequest("127.0.0.1", port, 4))
    error = caught.value
    assert (error.code, error.syscall, error.address, error.port) == ("EADDRINUSE", "bind", "127.0.0.1", port)
    assert str(error) == f"[Errno 98] bind EADDRINUSE 127.0.0.1:{port}"
    path = str(tmp_path / "s.sock")
    bound = bind(ListenRequest(path, -1, -1, readable_all=True, writable_all=True))
    assert os.stat(path).st_mode & 0o666 == 0o666
    with pytest.raises(ListenError, match="EADDRINUSE"):
        bind(ListenRequest(path, -1, -1))
    bound.close()
    assert not os.path.exists(path)
    with pytest.raises(ListenError, match="EACCES"):
        bind(ListenRequest(str(tmp_path / "no" / "s.sock"), -1, -1))
    with pytest.raises(ListenError, match="ENAMETOOLONG"):
        bind(ListenRequest(str(tmp_path / ("x" * 200)), -1, -1))


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


@pytest.mark.parametrize(
    ("address", "kind"),
    [("localhost", 4), ("example.test", 4), ("127.0.0.1", 6), ("::1", 4), ("1.2.3", "udp6"), ("127.0.0.1 ", 4)],
)
def test_name_is_never_resolved_for_a_worker(shared: SharedSockets, address: str, kind: Any) -> None:
    """Resolving takes time in which nothing else happens: only addresses are bound."""
    assert shared.query(1, 1, ListenRequest(address, 0, kind)).answer.errno == errno.EINVAL


def test_descriptor_of_the_primary_is_had_only_if_it_can_be_a_servers(shared: SharedSockets) -> None:
    """No sibling's channel, no client's connection, no epoll; a server that somebody bound, yes."""
    stream, packets = _socket.socketpair(), _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        with socket.create_connection(server.getsockname()) as client, server.accept()[0] as accepted:
            refused = [*stream, *packets, client, accepted, udp]
            for kind in (None, "udp4", "udp6"):
                for sock in refused if kind is None else [*refused[:-1], server]:
                    ask = ListenRequest(None, -1, kind, fd=sock.fileno())  # type: ignore[arg-type]
                    assert shared.query(1, 1, ask).answer.errno == errno.EINVAL
        assert shared.query(1, 1, ListenRequest(None, -1, None, fd=server.fileno())).answer.errno == 0
        assert shared.query(1, 1, ListenRequest(None, -1, "udp4", fd=udp.fileno())).answer.errno == 0
    for sock in (*stream, *packets):
        sock.close()


def test_servers_have_half_of_the_descriptors(shared: SharedSockets, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that asks for more is told what the system would tell it, and can close one and ask again."""
    monkeypatch.setattr("resource.getrlimit", lambda _: (8, 8))
    asked = [shared.query(1, n, ListenRequest("127.0.0.1", 0, 4, ordinal=n)).answer for n in range(5)]
    assert [answer.errno for answer in asked] == [0, 0, 0, 0, errno.EMFILE]
    shared.leave(1, asked[0].listener_id)
    assert shared.query(1, 5, ListenRequest("127.0.0.1", 0, 4, ordinal=5)).answer.errno == 0


@pytest.mark.parametrize(("flags", "mode"), [((), 0o750), (("readable_all",), 0o754), (("writable_all",), 0o772)])
def test_rights_of_a_path_are_there_from_its_birth(tmp_path: Path, flags: tuple[str, ...], mode: int) -> None:
    """What was asked for, and what the umask leaves, which is as it was afterwards."""
    former = os.umask(0o027)
    try:
        bound = bind(ListenRequest(str(tmp_path / "s"), -1, -1, **dict.fromkeys(flags, True)))  # type: ignore[arg-type]
        assert os.stat(tmp_path / "s").st_mode & 0o777 == mode
        bound.close()
    finally:
        assert os.umask(former) == 0o027


def test_kind_of_a_large_message_comes_as_a_piece_of_its_buffer() -> None:
    near, far = socket.socketpair()
    with near, cast("socket.socket", unpack(bytearray(b"s"), far.detach())) as arrived:
        near.sendall(b"x")
        assert arrived.recv(1) == b"x"
