"""The primary with a host that only writes down, and workers that are two sockets held by the test."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import signal
import socket
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from message_frames import encode_message
from own_descriptors import own_descriptors

from nodecluster_compat.base.emitter import Emitter
from nodecluster_compat.base.loop import Loop
from nodecluster_compat.base.records import Address, ExitStatus, ListenRequest
from nodecluster_compat.connections.packets import PacketKind, encode_packet
from nodecluster_compat.errors import ArgumentError, ChannelClosed, ClusterError, FrameError, MessageNotSerializable
from nodecluster_compat.lifecycle.rollout import ReloadReport
from nodecluster_compat.messages.frames import Frame, FrameDecoder, FrameKind, encode_frame
from nodecluster_compat.messages.payloads import decode_disconnect, encode_address, encode_payload, encode_request
from nodecluster_compat.messages.serialization import JSON
from nodecluster_compat.roles import departures
from nodecluster_compat.roles.primary import Primary
from nodecluster_compat.roles.status import ClusterStatus
from nodecluster_compat.roles.worker_handle import WorkerHandle

ADDRESS = Address("127.0.0.1", 80, 4)
EVENTS = ("fork", "online", "listening", "message", "disconnect", "exit", "error")


class FakeWorker:
    """A worker's ends, spoken to by hand."""

    def __init__(self, primary: Primary, handle: WorkerHandle, pid: int) -> None:
        self.handle = handle
        ends = primary._child_ends[handle.id]
        self.messages = socket.socket(fileno=os.dup(ends.messages.fileno()))
        self.connections = socket.socket(fileno=os.dup(ends.connections.fileno()))
        self.messages.setblocking(False)
        self.decoder = FrameDecoder()
        primary.started(handle, pid)

    def say(self, *frames: bytes) -> None:
        for frame in frames:
            self.messages.send(frame)

    def boot(self, listener_id: int = 0) -> None:
        self.say(encode_frame(FrameKind.ONLINE), encode_address(listener_id, ADDRESS))

    def heard(self) -> list[Frame]:
        try:
            return list(self.decoder.feed(self.messages.recv(1 << 20)))
        except BlockingIOError:
            return []

    def die(self) -> None:
        self.messages.close()
        self.connections.close()


class Rig:
    """A primary, its host's notes, and every event in the order in which it came."""

    def __init__(self) -> None:
        self.log = logging.getLogger("test")
        self.loop = Loop(self.log)
        self.cluster = Emitter()
        self.calls: list[str] = []
        self.binds = False
        self.events: list[tuple[Any, ...]] = []
        self.primary = Primary(self, self.loop, self.cluster, self.log, 30, 4)  # type: ignore[arg-type]
        self.workers: list[FakeWorker] = []
        for event in EVENTS:
            self.cluster.on(event, self.note("cluster", event))

    def note(self, who: str, event: str) -> Callable[..., None]:
        return lambda *args: self.events.append((who, event, *args))

    def spawn_soon(self, worker: WorkerHandle) -> None:
        self.calls.append("spawn_soon")

    def is_dealing(self) -> bool:
        return True

    def message_limit(self) -> int:
        return 1 << 20

    def is_binding(self) -> bool:
        return self.binds

    def stand_in(self) -> None:
        return None

    def give_up_requested(self, reason: str) -> None:
        self.calls.append("give_up_requested")

    def limit_end(self, worker: WorkerHandle, timeout: float | None) -> None:
        self.calls.append("limit_end")

    def worker_listens(self, worker: WorkerHandle) -> None:
        self.calls.append("worker_listens")

    def worker_changed(self) -> None:
        self.calls.append("worker_changed")

    def reload_soon(self, callback: Callable[[ReloadReport], Any] | None) -> None:
        self.calls.append("reload_soon")

    def status(self) -> ClusterStatus:
        raise NotImplementedError

    def finish(self) -> None:
        self.calls.append("finish")

    def start(self, listener_id: int = 0) -> FakeWorker:
        handle = self.primary.new_worker()
        for event in EVENTS:
            handle.on(event, self.note("worker", event))
        worker = FakeWorker(self.primary, handle, 1000 + handle.id)
        self.workers.append(worker)
        worker.boot(listener_id)
        self.turn()
        return worker

    def turn(self) -> None:
        for _ in range(12):
            self.loop.run_once(0)

    def names(self) -> list[tuple[str, str]]:
        return [(who, event) for who, event, *_ in self.events]


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    for worker in made.workers:
        worker.die()
    for handle in made.primary.registry.by_id.values():
        handle.line.abandon()
        handle.connections.abandon()
    made.loop.close()


@pytest.fixture
def sleeping() -> Iterator[int]:
    """The id of a child that does nothing, until it is killed."""
    pid = os.fork()
    if not pid:
        while True:
            signal.pause()
    yield pid
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_worker_that_lost_its_channel_is_ended_when_it_does_nothing(
    rig: Rig, sleeping: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One that is at work may be ending, on a machine that is busy."""
    looks: list[int] = []
    monkeypatch.setattr(departures, "seconds_run", lambda pid: looks.append(pid) or len(looks))  # more at each look
    monkeypatch.setattr(departures, "_UNASKED_SECONDS", 0.01)
    handle = rig.primary.new_worker()
    worker = FakeWorker(rig.primary, handle, sleeping)
    rig.workers.append(worker)
    worker.die()
    while len(looks) < 10:
        rig.loop.run_once(0.05)
    assert os.waitpid(sleeping, os.WNOHANG) == (0, 0)
    monkeypatch.setattr(departures, "seconds_run", lambda pid: 10.0)
    with caplog.at_level(logging.ERROR):
        while (ended := os.waitpid(sleeping, os.WNOHANG)) == (0, 0):
            rig.loop.run_once(0.05)
    assert ended == (sleeping, signal.SIGKILL)
    assert "has no channel and did not exit" in caplog.text


def test_boot_tells_worker_then_cluster_in_order(rig: Rig) -> None:
    """fork, online, listening: each first on the worker, then on the cluster."""
    worker = rig.start()
    expected = [(who, event) for event in ("fork", "online", "listening") for who in ("worker", "cluster")]
    assert rig.names() == expected
    assert rig.events[-1] == ("cluster", "listening", worker.handle, ADDRESS)
    assert worker.handle.state == "listening"


def test_nothing_is_told_of_a_worker_before_its_fork(rig: Rig) -> None:
    """It was forked in a deferred call, and has spoken, listened and gone before the turn is over."""
    rig.loop.call_soon(rig.start)
    rig.turn()
    assert [event for who, event in rig.names() if who == "worker"] == ["fork", "online", "listening"]


def test_disconnect_before_the_fork_is_told_comes_after_it(rig: Rig) -> None:
    """``fork().process.disconnect()``: the channel closes at once, its event waits."""
    handle = rig.primary.new_worker()
    rig.workers.append(FakeWorker(rig.primary, handle, 1000))
    handle.process.disconnect()
    assert rig.names() == []
    rig.turn()
    assert rig.names() == [("cluster", "fork"), ("cluster", "disconnect")]


def test_worker_holds_its_primary_by_its_process_and_by_its_channel(rig: Rig) -> None:
    """Both must be let go of, as in Node; a closed channel holds nobody."""
    process = rig.start().handle.process
    process.unref()
    assert process.holds
    assert process.channel is not None
    assert not process.channel.unref().has_ref()
    assert not process.holds
    process.channel.ref()
    process.disconnect()
    assert process.channel is None
    assert not process.holds
    process.ref()
    assert process.holds


def test_message_reaches_the_cluster_first(rig: Rig) -> None:
    """Node's one exception to the order, with a handle that is always there."""
    worker = rig.start()
    rig.events.clear()
    worker.say(encode_message({"a": 1}))
    rig.turn()
    expected = [("cluster", "message", worker.handle, {"a": 1}, None), ("worker", "message", {"a": 1}, None)]
    assert rig.events == expected


def test_log_says_why_a_channel_was_closed_of_a_worker_that_has_exited_since(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """The dealer closes the channel on its own thread, and the worker may be gone before the arbiter hears of it."""
    worker = rig.start()
    worker.die()
    rig.primary.reaped(worker.handle, ExitStatus(0, None))
    rig.primary._connections_closed(worker.handle.id, FrameError("too many"))
    assert "The connection channel of worker 1 is closed: too many" in caplog.text


def test_reaped_worker_is_drained_then_disconnects_then_exits(rig: Rig) -> None:
    """What it had said comes first, even when nothing was read before it was reaped."""
    worker = rig.start()
    rig.events.clear()
    worker.say(encode_message("last words"))
    worker.die()
    rig.primary.reaped(worker.handle, ExitStatus(None, "SIGKILL"))
    assert rig.names() == [
        (who, event)
        for event, whos in (
            ("message", ("cluster", "worker")),
            ("disconnect", ("worker", "cluster")),
            ("exit", ("worker", "cluster")),
        )
        for who in whos
    ]
    assert rig.events[-1][2:] == (worker.handle, None, "SIGKILL")
    assert worker.handle.exited_after_disconnect is False
    assert worker.handle.id not in rig.primary.registry.by_id
    assert (worker.handle.state, worker.handle.is_dead(), worker.handle.is_connected()) == ("dead", True, False)


def test_disconnect_asks_once_and_a_second_time_is_nothing(rig: Rig) -> None:
    """Difference D5; the flag is set at once, the worker stays in the table."""
    worker = rig.start()
    assert worker.handle.disconnect() is worker.handle
    worker.handle.disconnect()
    rig.turn()
    assert [frame.kind for frame in worker.heard()] == [FrameKind.DISCONNECT]
    assert worker.handle.exited_after_disconnect is True
    assert worker.handle.id in rig.primary.registry.by_id


def test_disconnect_carries_its_timeout(rig: Rig) -> None:
    """The worker is told, and nothing happens when it cannot be a time."""
    first, second = rig.start(), rig.start()
    with pytest.raises(ArgumentError, match="timeout"):
        first.handle.disconnect(timeout=-1)
    rig.turn()
    assert (first.heard(), first.handle.exited_after_disconnect) == ([], None)
    first.handle.disconnect(timeout=2.5)
    rig.primary.disconnect(None, 7)
    rig.turn()
    assert decode_disconnect(first.heard()[0].payload) == 2.5
    assert decode_disconnect(second.heard()[-1].payload) == 7


def test_end_of_the_cluster_closes_idle_connections_at_once(rig: Rig) -> None:
    """Said before workers are told to leave, and to those that drain already; not when one of them leaves."""
    first, second = rig.start(), rig.start()
    first.handle.disconnect()
    rig.primary.disconnect()
    rig.turn()
    assert [frame.kind for frame in first.heard()] == [FrameKind.DISCONNECT, FrameKind.CLOSE_IDLE]
    assert [frame.kind for frame in second.heard()] == [FrameKind.CLOSE_IDLE, FrameKind.DISCONNECT]


def test_nothing_is_kept_of_workers_that_have_ended(rig: Rig) -> None:
    """Whatever way they went: their handles, channels and timers go with them, not half a minute later."""
    gone = []
    for number in range(12):
        worker = rig.start()
        if number % 3 == 0:
            worker.handle.disconnect()
        elif number % 3 == 1:
            worker.handle.send({"n": number})
            worker.say(encode_frame(FrameKind.LEAVING))
        rig.turn()
        worker.die()
        rig.turn()
        rig.primary.reaped(worker.handle, ExitStatus(0, None))
        gone += [weakref.ref(part) for part in (worker.handle, worker.handle.line, worker.handle.process)]
    rig.workers.clear()
    rig.events.clear()
    del worker
    rig.turn()
    gc.collect()
    assert [one() for one in gone if one() is not None] == []


BREACHES = {
    "garbage": b"\xff" * 20,
    "online twice": encode_frame(FrameKind.ONLINE),
    "a frame of the primary's": encode_frame(FrameKind.DISCONNECT),
    "no JSON": encode_frame(FrameKind.MESSAGE, b"{"),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_worker_that_breaks_the_protocol_is_disconnected(rig: Rig, breach: str) -> None:
    """Garbage, a second ``online``, a primary's frame, no JSON: the channel closes, nothing else happens."""
    worker, other = rig.start(), rig.start()
    worker.say(BREACHES[breach])
    rig.turn()
    assert not worker.handle.is_connected()
    assert other.handle.is_connected()
    assert ("cluster", "disconnect") in rig.names()


def test_worker_that_listened_before_its_connection_channel_broke_has_listened(rig: Rig) -> None:
    """The dealer sees the end before the arbiter reads what came first; afterwards the worker cannot serve."""
    handle = rig.primary.new_worker()
    worker = FakeWorker(rig.primary, handle, 1001)
    rig.loop.run_once(0)  # the fork is told
    worker.boot()
    worker.connections.shutdown(socket.SHUT_RDWR)
    rig.primary.dealer._thread._turn_here()
    rig.turn()
    assert "worker_listens" in rig.calls
    assert not handle.can_serve
    worker.die()


def test_ends_that_were_moved_are_the_ones_that_are_used(rig: Rig) -> None:
    """What lies in the channel is read from where the worker's end is now."""
    handle = rig.primary.new_worker()
    rig.primary.lift(handle, 100)
    assert handle.connections.offer(1, 0, "")
    taken_back = handle.connections.take_back()
    assert taken_back is not None
    os.close(taken_back[1].fd)
    rig.primary.discard(handle)


def test_connection_that_a_dead_worker_had_not_taken_goes_to_another(rig: Rig) -> None:
    """Difference D1."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    listening.setblocking(False)
    served = rig.primary.dealer.add(listening, socket.AF_INET)
    first = rig.start(served.listener_id)
    client = socket.socket()
    client.connect(listening.getsockname())
    rig.turn()
    assert rig.primary.dealer.waiting_connections() == 1
    second = rig.start(served.listener_id)
    first.die()
    rig.turn()
    data, ancillary, _, _ = second.connections.recvmsg(512, 64)
    assert data == encode_packet(PacketKind.OFFER, served.listener_id)
    assert ancillary
    assert rig.primary.dealer.waiting_connections() == 0
    os.close(int.from_bytes(ancillary[0][2][:4], "little"))
    rig.primary.dealer.remove(served.listener_id)
    client.close()
    listening.close()


def test_early_messages_wait_for_the_first_listener(rig: Rig) -> None:
    """Difference D7, in the primary."""
    rig.cluster.remove_all_listeners("message")
    worker = rig.start()
    worker.handle.remove_all_listeners("message")
    worker.say(encode_message(1), encode_message(2))
    rig.turn()
    heard: list[Any] = []
    worker.handle.on("message", lambda message, handle: heard.append(message))
    assert heard == []
    rig.turn()
    assert heard == [1, 2]


def test_send_reaches_the_worker_and_fails_with_an_event_once_it_is_gone(rig: Rig) -> None:
    """Without a callback the error is an ``error`` event on a later turn (D6: or a log line)."""
    worker = rig.start()
    assert worker.handle.send([1]) is True
    rig.turn()
    assert [JSON.decode(frame.payload) for frame in worker.heard()] == [[1]]
    worker.handle.process.disconnect()
    rig.events.clear()
    assert worker.handle.send("x") is False
    assert rig.names() == []
    rig.turn()
    [(who, event, error)] = [e for e in rig.events if e[1] == "error"]
    assert (who, event) == ("worker", "error")
    assert isinstance(error, ClusterError)


def test_process_that_outlives_its_handle_answers_as_a_dead_one(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """A program may keep ``worker.process`` alone; an error comes to it, or is logged."""
    worker, heard = rig.start(), list[Any]()
    worker.die()
    rig.primary.reaped(worker.handle, ExitStatus(0, None))
    process, handle = worker.handle.process, weakref.ref(worker.handle)
    rig.workers.clear()
    rig.events.clear()
    del worker
    assert handle() is None
    assert (process.connected, process.channel, process.exit_code, process.kill()) == (False, None, 0, False)
    with pytest.raises(ValueError, match="expected the name or number of a signal"):
        process.kill("SIGNONSENSE")
    with pytest.raises(MessageNotSerializable):
        process.send(object())
    assert process.send("x", heard.append) is False
    rig.turn()
    assert isinstance(heard.pop(), ChannelClosed)
    assert process.send("x") is False
    rig.turn()
    assert "A message to worker 1 was not sent" in caplog.text
    process.on("error", heard.append)
    process.send("x")
    rig.turn()
    assert isinstance(heard.pop(), ChannelClosed)
    process.disconnect()
    process.unref()
    process.ref()


def test_cluster_disconnect_calls_back_once_after_the_last(rig: Rig) -> None:
    """Difference D4; the host ends the server after the callback."""
    workers = [rig.start(), rig.start()]
    rig.primary.disconnect(lambda: rig.calls.append("callback"))
    for worker in workers:
        rig.turn()
        assert "callback" not in rig.calls
        worker.die()
        rig.primary.reaped(worker.handle, ExitStatus(0, None))
    assert rig.calls[-2:] == ["callback", "finish"]
    assert [worker.handle.exited_after_disconnect for worker in workers] == [True, True]


def test_kill_of_no_signal_only_asks(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """``worker.process.kill(0)``, as in Node; ``worker.kill(0)`` is SIGTERM there, too."""
    worker, sent = rig.start(), list[tuple[int, int]]()
    monkeypatch.setattr("os.kill", lambda pid, number: sent.append((pid, int(number))))
    assert worker.handle.process.kill(0)
    assert not worker.handle.way_out.was_signalled
    assert worker.handle.kill(0)
    assert [number for _, number in sent] == [0, 15]


def test_kill_of_an_unknown_signal_is_refused(rig: Rig) -> None:
    """The sentence says what was expected; a dead worker is simply not there."""
    worker = rig.start()
    with pytest.raises(ValueError, match="expected the name or number of a signal, got 'SIGNONSENSE'"):
        worker.handle.kill("SIGNONSENSE")
    worker.die()
    rig.primary.reaped(worker.handle, ExitStatus(0, None))
    assert worker.handle.kill("sigterm") is False


ASK = encode_request(1, ListenRequest("127.0.0.1", 0, 4))


def query(port: int = 0, address: str = "127.0.0.1", fd: int | None = None, backlog: int = 511) -> bytes:
    """A frame that no worker of ours would send."""
    request = {"address": address, "port": port, "address_type": 4, "fd": fd, "backlog": backlog}
    return encode_frame(FrameKind.QUERY, json.dumps([1, request]).encode())


@pytest.mark.parametrize(
    ("binds", "frame"),
    [
        (False, ASK),
        (True, query(port=70_000)),
        (True, query(port=2**70)),
        (True, query(address="127.0.0.1\0")),
        (True, query(fd=2**40)),
        (True, query(backlog=2**40)),
        (True, encode_frame(FrameKind.QUERY, b"[" * 50_000)),
    ],
    ids=["where gunicorn binds", "port", "large port", "nul", "descriptor", "backlog", "deep"],
)
def test_worker_that_asks_for_what_cannot_be_is_disconnected(rig: Rig, binds: bool, frame: bytes) -> None:
    """It speaks another protocol than ours."""
    rig.binds = binds
    worker = rig.start()
    worker.say(frame)
    rig.turn()
    assert rig.names()[-2:] == [("worker", "disconnect"), ("cluster", "disconnect")]
    assert len(rig.primary.shared) == 0


def test_message_over_the_limit_of_its_worker_is_garbage(rig: Rig) -> None:
    """As soon as its header says so; one at the limit arrives, and so does one with a kind before it."""
    rig.cluster.on("message", lambda worker, message, handle: rig.calls.append(f"{len(message)} characters"))
    worker = rig.start()
    limit = rig.message_limit()
    waiting = encode_message("x" * (limit - 2)) + encode_frame(
        FrameKind.HANDLE, b"s" + encode_payload("x" * (limit - 2))
    )
    while waiting:
        with contextlib.suppress(BlockingIOError):
            waiting = waiting[worker.messages.send(waiting) :]
        rig.turn()
    assert worker.handle.is_connected()
    assert f"{limit - 2} characters" in rig.calls
    worker.say(encode_message("x" * limit)[:5])
    rig.turn()
    assert not worker.handle.is_connected()


@pytest.mark.parametrize(
    "frame", [ASK, encode_frame(FrameKind.HANDLE, b"s1")], ids=["for sockets", "about descriptors"]
)
def test_worker_that_asks_and_never_reads_is_disconnected(
    rig: Rig, frame: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """What it is owed waits in the primary, up to a bound."""
    rig.binds = True
    worker = rig.start()
    asked = 0
    while ("cluster", "disconnect") not in rig.names() and asked < 10_000:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            worker.say(frame * 10)
            asked += 10
        rig.turn()
    assert 1024 < asked < 10_000
    assert "asks on and has not read 1024 answers" in caplog.text


def test_server_in_a_message_is_a_plain_socket_where_nothing_can_serve(rig: Rig) -> None:
    """gunicorn's master has no greenlets: a worker's server must not start any there."""
    worker = rig.start()
    got: list[Any] = []
    rig.cluster.on("message", lambda _, message, handle: got.append(handle))
    for kind, sock in ((b"l", socket.create_server(("127.0.0.1", 0))), (b"u", socket.socket(type=socket.SOCK_DGRAM))):
        with sock:
            socket.send_fds(
                worker.messages, [encode_frame(FrameKind.HANDLE, kind + encode_payload("here"))], [sock.fileno()]
            )
            rig.turn()
            assert type(got[-1]) is socket.socket
            assert got[-1].getsockname() == sock.getsockname()
        got[-1].close()


def test_descriptor_of_a_message_that_is_none_is_closed(rig: Rig) -> None:
    """The worker is disconnected, and nothing of it is kept."""
    rig.cluster.on("message", lambda *_: None)
    worker = rig.start()
    with socket.create_server(("127.0.0.1", 0)) as server:
        before = len(own_descriptors())
        socket.send_fds(worker.messages, [encode_frame(FrameKind.HANDLE, b"l{not json")], [server.fileno()])
        rig.turn()
        assert ("cluster", "disconnect") in rig.names()
        assert len(own_descriptors()) == before - 3  # both channels, of one of them both ends
