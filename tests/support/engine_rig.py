"""Play the workers of an engine: with real sockets, in one process."""

from __future__ import annotations

import itertools
import logging
import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from typing import Final

from nodecluster_compat.base.native import Choice
from nodecluster_compat.connections.dealing_loop import DealingLoop
from nodecluster_compat.connections.engine import Engine
from nodecluster_compat.connections.offers import OfferingEnd, connection_pair
from nodecluster_compat.connections.packets import PacketKind, decode_packet, encode_packet
from nodecluster_compat.connections.policies import RoundRobin
from nodecluster_compat.errors import FrameError
from nodecluster_compat.machine.backlog import backlog_of
from nodecluster_compat.machine.process_state import Condition

__all__ = ["EngineRig", "Played"]

_PATIENCE: Final = 20.0
_names: Final = itertools.count()
_PEEK: Final = int(socket.MSG_PEEK | socket.MSG_DONTWAIT)


def _waiting_clients(sock: socket.socket) -> int:
    backlog = backlog_of(sock.fileno(), sock.family)
    assert backlog is not None
    return backlog.waiting


class Played:
    """A worker that does what the test says."""

    def __init__(self, engine: Engine, worker_id: int, asks: bool) -> None:
        self.id = worker_id
        near, far = connection_pair()
        self.sock = socket.socket(fileno=os.dup(far.fileno()))
        self.end = OfferingEnd(worker_id, near, far, asks=asks)
        self.asks = asks
        self.has: list[int] = []
        self.can_send = True
        engine.enrol(self.end, worker_id)

    def take(self) -> int:
        """Take what lies in the channel; return the listener's number, 0 for a probe."""
        data, fds, _, _ = socket.recv_fds(self.sock, 512, 1)
        kind, listener_id, _ = decode_packet(data)
        self.has += fds
        assert bool(fds) is (kind is not PacketKind.PROBE)
        if kind is not PacketKind.OFFER:
            self.sock.send(encode_packet(PacketKind.TAKEN))
        return listener_id

    def has_offer(self) -> bool:
        try:
            self.sock.recv(1, _PEEK)
        except BlockingIOError:
            return False
        return True

    def give_back(self, listener_id: int) -> None:
        socket.send_fds(self.sock, [encode_packet(PacketKind.REFUSED, listener_id)], [self.has[-1]])
        os.close(self.has.pop())

    def take_handed(self) -> tuple[int, int]:
        """Take a connection that another worker has begun to read; return both descriptors, which are the caller's."""
        data, fds, _, _ = socket.recv_fds(self.sock, 512, 2)
        kind = decode_packet(data).kind
        assert kind in (PacketKind.HANDED, PacketKind.HANDED_TO_ANSWER), kind
        if kind is PacketKind.HANDED_TO_ANSWER:
            self.sock.send(encode_packet(PacketKind.TAKEN))
        connection, memory = fds
        return connection, memory

    def route(self, listener_id: int, target: int, fd: int, memory: int) -> None:
        """Hand a connection on."""
        socket.send_fds(self.sock, [encode_packet(PacketKind.ROUTE, listener_id, target)], [fd, memory])

    def say(self, kind: PacketKind, listener_id: int = 0) -> None:
        self.sock.send(encode_packet(kind, listener_id))

    def close(self) -> None:
        self.sock.close()
        for fd in self.has:
            os.close(fd)


class EngineRig:
    """An engine, its workers, and two listening sockets.

    Args:
        asks: whether workers answer.
        choice: C or Python; what is in force unless it is said.
        clock: seconds.
        family: of the listening sockets; clients of a unix socket are there at once, whatever the machine does.
        limit: of the connections that wait, for each listener.
    """

    def __init__(
        self,
        asks: bool,
        choice: Choice | None = None,
        family: socket.AddressFamily = socket.AF_INET,
        clock: Callable[[], float] = time.monotonic,
        limit: int = 4,
    ) -> None:
        self.loop = DealingLoop(choice, clock)
        self.asks = asks
        self.turns = 4  # behind which nothing more happens
        self.waits = True  # until what clients do is there
        self.left: list[int] = []
        self.closed: list[tuple[int, bool]] = []
        self.engine = Engine(
            self.loop, logging.getLogger("test"), RoundRobin, limit, asks, self.left.append, self._closed, choice
        )
        self.conditions: dict[int, Condition] = {}
        self.ran: dict[int, float] = {}
        self.engine.offers._untaken._stuck._condition_of = lambda pid: self.conditions.get(pid, "running")
        self.engine.offers._untaken._stuck._seconds_run = lambda pid: self.ran.get(pid, 0.0)
        self.workers: list[Played] = []
        self._ids = itertools.count(1)
        self.hosts: Iterator[str] = itertools.repeat("127.0.0.1")  # of clients that are to come
        self.clients: list[socket.socket] = []
        self.socks = [socket.socket(family) for _ in range(2)]
        for sock in self.socks:
            sock.bind(("127.0.0.1", 0) if family == socket.AF_INET else "")
            sock.listen(4096)
            sock.setblocking(False)
        self.listener_ids = [self.engine.add(sock, family).listener_id for sock in self.socks]

    def _closed(self, worker_id: int, error: FrameError | None) -> None:
        self.closed.append((worker_id, error is not None))

    def enrolled(self) -> Played:
        """Return a worker that serves nothing yet."""
        made = Played(self.engine, next(self._ids), self.asks)
        self.workers.append(made)
        return made

    def worker(self, *listeners: int) -> Played:
        made = self.enrolled()
        for number in listeners or (0,):
            self.engine.join(made.id, self.listener_ids[number])
        self.engine.offers.arm()
        return made

    def connect(self, number: int = 0) -> None:
        self.reach(number)
        self.turn()

    def reach(self, number: int) -> None:
        """Let a client connect, and be there: TCP's last packet may be late on a busy machine."""
        sock = self.socks[number]
        client = socket.socket(sock.family)
        self.clients.append(client)
        if sock.family == socket.AF_UNIX:
            client.bind(f"\0{os.getpid()} {next(_names)}")  # the kernel may give one of a client that has left
            client.connect(sock.getsockname())
            self.wait_readable(sock)
        else:
            client.bind((next(self.hosts), 0))
            before = _waiting_clients(sock)
            client.connect(sock.getsockname())
            while _waiting_clients(sock) == before:
                os.sched_yield()

    @staticmethod
    def wait_readable(sock: socket.socket) -> None:
        """Wait until a client is there."""
        select.select([sock], [], [], _PATIENCE)

    def turn(self) -> None:
        for _ in range(self.turns):
            self.loop.turn(waits=False)

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.loop.turn(waits=self.loop.seconds_to_timer is not None)  # a slow machine may have had the tick before

    def waiting(self, number: int = 0) -> int:
        return self.engine.listeners[self.listener_ids[number]].dispatcher.pending

    def close(self) -> None:
        for worker in self.workers:
            self.engine.lost(worker.id)
        for listener_id in list(self.listener_ids):
            self.engine.listeners.remove(listener_id)
        self.engine.abandon()
        for one in (*self.workers, *self.clients, *self.socks, self.loop):
            one.close()
