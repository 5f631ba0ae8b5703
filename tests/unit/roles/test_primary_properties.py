"""Random lives: whatever workers do and are told, the order of events and the flags are those of the contract.

The primary is the real one, with real channels and no processes: a rule plays the part of a worker, of the system that
reaps it, of a client that connects, or of the program.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from message_frames import encode_message

from nodecluster_compat.base.emitter import Emitter
from nodecluster_compat.base.loop import Loop
from nodecluster_compat.base.records import Address, Connection, ExitStatus
from nodecluster_compat.connections.packets import PacketKind, encode_packet
from nodecluster_compat.messages.frames import FrameKind, encode_frame
from nodecluster_compat.messages.payloads import encode_address
from nodecluster_compat.roles.primary import Primary
from nodecluster_compat.roles.worker_handle import WorkerHandle

EVENTS = ("fork", "online", "listening", "disconnect", "exit")
LOG = logging.getLogger("test")
CHOICE = st.integers(0, 50)


class Life:
    """A worker, played by hand, and what was told of it."""

    def __init__(self, handle: WorkerHandle, messages: socket.socket, connections: socket.socket) -> None:
        self.handle = handle
        self.messages = messages
        self.connections = connections
        self.step = "born"
        self.asked = False
        self.reaped = False
        self.told: list[str] = []
        self.sent: list[int] = []
        self.heard: list[int] = []


class Lives(RuleBasedStateMachine):
    """The program, the workers, the system and the clients take turns."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = Loop(LOG)
        self.cluster = Emitter()
        self.primary = Primary(self, self.loop, self.cluster, LOG, 30, 4)  # type: ignore[arg-type]
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.served = self.primary.dealer.add(self.listener, socket.AF_INET)
        self.lives: list[Life] = []
        self.clients: list[socket.socket] = []
        self.pids = iter(range(10_000_000, 20_000_000))
        self.worker_first: list[tuple[str, int]] = []
        for event in EVENTS:
            self.cluster.on(event, self.on_cluster(event))
        self.cluster.on("message", self.on_message)

    # what the primary asks of its host
    def is_dealing(self) -> bool:
        return True

    def message_limit(self) -> int:
        return 1 << 20

    def is_binding(self) -> bool:
        return False

    def stand_in(self) -> None:
        return None

    def spawn_soon(self, worker: WorkerHandle) -> None:
        """Started below, by hand."""

    def worker_changed(self) -> None:
        pass

    def give_up_requested(self, reason: str) -> None:
        pass

    def limit_end(self, worker: WorkerHandle, timeout: float | None) -> None:
        pass

    def worker_listens(self, worker: WorkerHandle) -> None:
        pass

    def finish(self) -> None:
        pass

    def on_cluster(self, event: str) -> Any:
        def told(worker: WorkerHandle, *_: Any) -> None:
            assert self.worker_first.pop() == (event, worker.id)  # the worker's own handler ran right before
            self.life(worker).told.append(event)

        return told

    def on_message(self, worker: WorkerHandle, message: Any, handle: None) -> None:
        self.life(worker).heard.append(message)

    def life(self, worker: WorkerHandle) -> Life:
        return next(life for life in self.lives if life.handle is worker)

    def turn(self) -> None:
        for _ in range(3):
            self.loop.run_once(0)

    def pick(self, choice: int, *steps: str) -> Life | None:
        fitting = [life for life in self.lives if life.step in steps and not life.reaped]
        return fitting[choice % len(fitting)] if fitting else None

    def say(self, life: Life, frame: bytes) -> None:
        with contextlib.suppress(OSError):  # the primary may have closed its end
            life.messages.send(frame)

    @rule()
    def fork(self) -> None:
        if len(self.lives) > 12:
            return
        handle = self.primary.fork()
        ends = self.primary._child_ends[handle.id]
        life = Life(
            handle,
            socket.socket(fileno=os.dup(ends.messages.fileno())),
            socket.socket(fileno=os.dup(ends.connections.fileno())),
        )
        life.connections.setblocking(False)
        self.lives.append(life)
        for event in EVENTS:
            handle.on(event, lambda *_, event=event: self.worker_first.append((event, handle.id)))
        assert handle.id == len(self.lives)
        self.primary.started(handle, next(self.pids))

    @rule(choice=CHOICE)
    def boot(self, choice: int) -> None:
        if life := self.pick(choice, "born"):
            life.step = "online"
            self.say(life, encode_frame(FrameKind.ONLINE))

    @rule(choice=CHOICE)
    def listen(self, choice: int) -> None:
        if life := self.pick(choice, "online", "listening"):
            life.step = "listening"
            self.say(life, encode_address(self.served.listener_id, Address("127.0.0.1", 1, 4)))

    @rule(choice=CHOICE)
    def speak(self, choice: int) -> None:
        if life := self.pick(choice, "online", "listening"):
            life.sent.append(len(life.sent))
            self.say(life, encode_message(life.sent[-1]))

    @rule(choice=CHOICE)
    def leave_by_own_wish(self, choice: int) -> None:
        if life := self.pick(choice, "online", "listening"):
            self.say(life, encode_frame(FrameKind.LEAVING))
            life.asked = life.asked or life.handle.is_connected()

    @rule(choice=CHOICE, gives_back=st.booleans())
    def take(self, choice: int, gives_back: bool) -> None:
        if life := self.pick(choice, "listening"):
            with contextlib.suppress(OSError):
                _, fds, _, _ = socket.recv_fds(life.connections, 512, 1)
                if fds and gives_back:
                    socket.send_fds(life.connections, [self.packet(PacketKind.REFUSED)], fds)
                for fd in fds:
                    os.close(fd)

    @rule(choice=CHOICE, kind=st.sampled_from([PacketKind.ROOM, PacketKind.TAKEN, PacketKind.LEAVE]))
    def say_packet(self, choice: int, kind: PacketKind) -> None:
        if life := self.pick(choice, "listening"):
            with contextlib.suppress(OSError):
                life.connections.send(self.packet(kind))

    def packet(self, kind: PacketKind) -> bytes:
        return encode_packet(kind, self.served.listener_id)

    @rule()
    def connect(self) -> None:
        if len(self.clients) < 30:
            self.clients.append(socket.create_connection(self.listener.getsockname()))

    @rule(choice=CHOICE)
    def disconnect(self, choice: int) -> None:
        if life := self.pick(choice, "born", "online", "listening"):
            life.asked = life.asked or life.handle.is_connected()
            life.handle.disconnect()

    @rule(choice=CHOICE)
    def close_channel(self, choice: int) -> None:
        if life := self.pick(choice, "born", "online", "listening"):
            life.step = "closed"
            life.messages.close()
            life.connections.close()

    @rule(choice=CHOICE, signal=st.sampled_from([None, "SIGKILL"]))
    def die(self, choice: int, signal: str | None) -> None:
        if life := self.pick(choice, "born", "online", "listening", "closed"):
            life.reaped = True
            life.messages.close()
            life.connections.close()
            self.primary.reaped(life.handle, ExitStatus(None if signal else 0, signal))

    @rule()
    def let_run(self) -> None:
        self.turn()

    @invariant()
    def events_are_in_order(self) -> None:
        for life in self.lives:
            once = [event for event in life.told if event != "listening"]
            assert len(set(once)) == len(once)
            order = [event for event in EVENTS if event in life.told]
            assert [event for i, event in enumerate(life.told) if event not in life.told[:i]] == order
            if "exit" in life.told:
                assert life.told[-2:] == ["disconnect", "exit"]
            assert life.heard == life.sent[: len(life.heard)]

    @invariant()
    def flags_follow_the_events(self) -> None:
        for life in self.lives:
            handle = life.handle
            assert handle.is_dead() is life.reaped
            assert (handle.id in self.primary.registry.by_id) is not life.reaped
            if life.reaped:
                assert (handle.state, handle.is_connected()) == ("dead", False)
                assert handle.exited_after_disconnect in (True, False)
                if not life.asked:
                    assert handle.exited_after_disconnect is False

    @invariant()
    def no_more_than_one_connection_is_offered_to_each_and_none_is_forgotten(self) -> None:
        with self.primary.dealer.held() as engine:
            unsettled = engine.unsettled(self.served.listener_id)  # which may deal one that waits
            queue = engine.listeners[self.served.listener_id].waiting
            assert unsettled <= len(queue) + len(self.lives)
            assert len(queue) <= 4 + len(self.lives)
            for connection in queue:
                assert isinstance(connection, Connection)
                os.fstat(connection.fd)  # open: nobody has thrown it away

    def teardown(self) -> None:
        for life in self.lives:
            if not life.reaped:
                life.messages.close()
                life.connections.close()
                self.primary.reaped(life.handle, ExitStatus(0, None))
        self.turn()
        self.primary.dealer.close()
        for sock in (*self.clients, self.listener):
            sock.close()
        self.loop.close()


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
