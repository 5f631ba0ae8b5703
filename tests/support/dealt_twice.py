"""Do to an engine what some bytes say, and write down what becomes of it: in C and in Python it is the same."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

from engine_rig import EngineRig, Played
from manual_clock import ManualClock
from standby_in_python import deal_as_standby

from nodecluster_compat.base.native import Choice
from nodecluster_compat.base.records import Connection
from nodecluster_compat.connections import holding_back as held
from nodecluster_compat.connections import listener
from nodecluster_compat.connections.packets import PacketKind
from nodecluster_compat.connections.policies import PolicyFactory, RoundRobin, Workers, policy_of
from nodecluster_compat.connections.policies.random_of_two import RandomOfTwo
from nodecluster_compat.connections.standby import NoStandby
from nodecluster_compat.machine.backlog import Backlog
from nodecluster_compat.machine.sealed_memory import SealedMemory
from nodecluster_compat.machine.shared_number import shared_number
from nodecluster_compat.routing.engineio import EngineIO

__all__ = ["DEEDS", "POLICIES", "Dealt", "dealt"]

_MOST_WORKERS: Final = 5
_TICK: Final = 0.001
_INFO: Final = 28  # bytes of tcp(7)'s struct tcp_info, up to
_UNHEARD: Final = 24  # how many packets are not acknowledged
_STATES: Final = ("_state", "_credits")  # of policies
_HOSTS: Final = [f"127.0.0.{number}" for number in (1, 2, 3, 1, 4, 5, 5)]


class _LastIdle:
    """A policy of a program's: the worker that became idle last."""

    def __init__(self, _: Workers) -> None:
        self.idle: dict[int, None] = {}

    def add(self, worker_id: int) -> None:
        self.idle.setdefault(worker_id)

    def remove(self, worker_id: int) -> None:
        self.idle.pop(worker_id, None)

    def choose(self, connection: Connection) -> int | None:
        return self.idle.popitem()[0] if self.idle else None


POLICIES: Final[tuple[PolicyFactory, ...]] = (
    RoundRobin,
    policy_of("least_connections"),
    lambda workers: RandomOfTwo(workers, 7),
    policy_of("weighted:3,1,0,2"),
    policy_of("client_address"),
    policy_of("client_address:8"),
    policy_of("weighted:0,0"),
    _LastIdle,
)


class _Look:
    """Looks as that of a primary does."""

    is_quick = True

    def __init__(self, engine: Any) -> None:
        self.engine = engine

    def __call__(self, seen: bytes) -> int:
        target = EngineIO.look(seen)
        return target if target in self.engine.members.ids.values() else 0


class Dealt:
    """An engine to which things are done.

    Args:
        choice: C or Python.
        listeners: how many, 1 or 2.
        policy: the number of the first one.
        family: of the addresses of clients.
        kind: of the rig.
    """

    def __init__(
        self,
        choice: Choice,
        listeners: int,
        policy: int = 0,
        family: socket.AddressFamily = socket.AF_UNIX,
        kind: type[EngineRig] = EngineRig,
    ) -> None:
        self.clock = ManualClock(100.0)
        self.rig = kind(False, choice, family, self.clock.monotonic)
        self.rig.hosts = itertools.cycle(_HOSTS)
        self.memories: dict[int, SealedMemory] = {}
        self.engine.listeners.count_ended = self._ended
        self.engine.listeners.number_of_ended = lambda worker_id: shared_number(self._memory(worker_id), 0)
        self.engine.listeners.use_policy(POLICIES[policy % len(POLICIES)])
        self.gone: set[int] = set()
        self._names: dict[object, int] = {}
        self._whose: dict[int, int] = {}  # by the descriptors that workers have
        self.replaced: set[int] = set()
        self.engine.listeners.look = _Look(self.engine)
        while len(self.rig.listener_ids) > listeners:
            self.rig.engine.listeners.remove(self.rig.listener_ids.pop())
        self.new_worker(0)
        self.new_worker(0)

    @property
    def engine(self) -> Any:
        return self.rig.engine

    def worker(self, number: int) -> Played | None:
        worker = self.rig.workers[number % len(self.rig.workers)]
        return None if worker.id in self.gone else worker

    def _any_id(self, number: int) -> int:
        return self.rig.workers[number % len(self.rig.workers)].id

    def id_of(self, number: int) -> int:
        """Return the id of the first worker, of the second, and so on; a number that is none of theirs as it is."""
        workers = self.rig.workers
        return workers[number - 1].id if 0 < number <= len(workers) else number

    def listener_id(self, number: int) -> int:
        return self.rig.listener_ids[number % len(self.rig.listener_ids)]

    def _memory(self, worker_id: int) -> SealedMemory:
        if worker_id not in self.memories:
            self.memories[worker_id] = SealedMemory("ended", 8)
        return self.memories[worker_id]

    def _ended(self, worker_id: int) -> int:
        return int.from_bytes(self._memory(worker_id).read(8, 0), sys.byteorder)

    def count(self, worker_id: int, ended: int) -> None:
        """Let a worker say how many of its connections have ended."""
        os.pwrite(self._memory(worker_id).fileno(), ended.to_bytes(8, sys.byteorder), 0)

    # --- what is done ---------------------------------------------------------------------------

    def new_worker(self, _: int) -> None:
        if len(self.rig.workers) < _MOST_WORKERS:
            made = self.rig.worker(*range(len(self.rig.listener_ids)))
            made.end.slot = made.id
            self.engine.members.serves(made.id, made.id)

    def connect(self, number: int) -> None:
        self.rig.connect(number % len(self.rig.listener_ids))

    def burst(self, number: int) -> None:
        """Several at once, before the loop turns."""
        for _ in range(number % 5 + 2):
            self.rig.reach(number % len(self.rig.listener_ids))

    def ask_for(self, number: int) -> None:
        """One whose session is of a worker, or that has none."""
        self.rig.reach(number // _MOST_WORKERS % len(self.rig.listener_ids))
        target = self.id_of(number % _MOST_WORKERS)
        line = "GET / HTTP/1.1" if number % 2 else f"GET /?EIO=4&sid={'x' * 20}.{target} HTTP/1.1"
        self.rig.clients[-1].send(line.encode())
        self._wait_until_heard(self.rig.clients[-1])

    def burst_for(self, number: int) -> None:
        """Several for one worker, and one for anybody among them."""
        for one in (number, number, number // 2, number, number, number):
            self.ask_for(2 * one)

    def hand_on(self, number: int) -> None:
        """A worker has begun a connection that is another's."""
        worker = self.worker(number)
        if worker is not None and worker.has and worker.can_send:
            fd, memory = worker.has.pop(), os.memfd_create("head")
            worker.route(self.listener_id(number), self.id_of(number // _MOST_WORKERS + 1), fd, memory)
            os.close(fd)
            os.close(memory)

    def take(self, number: int) -> None:
        worker = self.worker(number)
        if worker is not None and worker.can_send and worker.has_offer():
            worker.take()

    def end(self, number: int) -> None:
        """A worker has served a connection, and counts that; what was read of its counts is old then."""
        worker = self.worker(number)
        if worker is not None and worker.has:
            os.close(worker.has.pop(0))
            self.count(worker.id, self._ended(worker.id) + 1)
            self.clock.now += 2 * _TICK

    def give_back(self, number: int) -> None:
        worker = self.worker(number)
        if worker is not None and worker.has and worker.can_send:
            worker.give_back(self.listener_id(number))

    def has_room(self, number: int) -> None:
        worker = self.worker(number)
        if worker is not None and worker.can_send:
            worker.say(PacketKind.ROOM, self.listener_id(number))

    def leave(self, number: int) -> None:
        worker = self.worker(number)
        if worker is not None and worker.can_send:
            worker.say(PacketKind.LEAVE)
            worker.sock.shutdown(socket.SHUT_RDWR)
            worker.can_send = False

    def leave_one(self, number: int) -> None:
        self.engine.leave_one(self._any_id(number), self.listener_id(number))

    def join(self, number: int) -> None:
        self.engine.join(self._any_id(number), self.listener_id(number))

    def lost(self, number: int) -> None:
        worker = self.worker(number)
        if worker is not None:
            self.gone.add(worker.id)
            self.engine.lost(worker.id)

    def tick(self, number: int) -> None:
        self.clock.now += _TICK * (number % 8 + 1)

    def sleep(self, number: int) -> None:
        self.rig.conditions[self._any_id(number)] = "sleeping" if number % 2 else "running"

    def spend(self, _: int) -> None:
        self.engine.offers.ahead.allowance.spend(99.0)

    def change_policy(self, number: int) -> None:
        self.engine.listeners.use_policy(POLICIES[(number - 1) % len(POLICIES)])

    def look(self, number: int) -> None:
        worker = self.worker(number)
        if worker is not None and worker.can_send:
            worker.say(PacketKind.LOOK)

    def replace(self, number: int) -> None:
        listener = self.engine.listeners[self.listener_id(number)]
        if number in self.replaced:
            listener.serve_again()
        else:
            listener.replace()
        self.replaced ^= {number}

    def client_leaves(self, number: int) -> None:
        if self.rig.clients:
            self._leave(self.rig.clients[number % len(self.rig.clients)])
        listener = self.engine.listeners[self.listener_id(number)]
        listener.drop_those_that_left(listener.waiting if number % 2 else ())

    def _leave(self, client: socket.socket) -> None:
        if client.fileno() >= 0:
            with contextlib.suppress(OSError):  # it was refused
                client.shutdown(socket.SHUT_WR)
            self._wait_until_heard(client)
            client.close()

    def _wait_until_heard(self, client: socket.socket) -> None:
        """TCP's last packet may be late on a busy machine, and would be there for one of the two."""
        if self.rig.waits and client.family == socket.AF_INET:
            while client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO)[_UNHEARD]:
                os.sched_yield()

    def fill(self, number: int) -> None:
        """Put something into a channel of which the engine does not know: the kernel takes no offer there."""
        worker = self.worker(number)
        if worker is not None and not worker.end.is_busy:
            with contextlib.suppress(OSError):
                worker.end.probe()
            worker.end.is_busy = False

    def away(self, number: int) -> None:
        """Several come while the dealer cannot deal, and its standby does."""
        for one in range(number % 4 + 1):
            self.rig.reach(one * (number // 4) % len(self.rig.listener_ids))
        if isinstance(self.engine.offers.standby, NoStandby):
            deal_as_standby(self.engine)
        else:
            self.engine.offers.standby.deal()

    def turn(self, _: int) -> None:
        self.engine.offers.arm()
        self.rig.turn()

    # --- what became of it -----------------------------------------------------------------------

    def seen(self) -> list[object]:
        engine, turns = self.engine, self.engine.offers.ahead.turns
        dispatchers = [listener.dispatcher for listener in engine.listeners]
        return [
            [worker.has_offer() for worker in self.rig.workers],
            [
                (end.is_busy, end.has_left, self._place(end.offered), end.handed, end.age)
                for end in engine._ends.values()
            ],
            [[self._client(one.peer) for one in dispatcher.queue] for dispatcher in dispatchers],
            [
                {whose: [self._client(one.peer) for _, one in queue] for whose, queue in dispatcher._named.items()}
                for dispatcher in dispatchers
            ],
            [(set(one.idle_workers), one.members, set(one._full), one.dropped) for one in dispatchers],
            [(dict(one._places), one._first, one._last) for one in dispatchers],
            [
                [list(getattr(one._policy, "_idle", ())), *(getattr(one._policy, name, 0) for name in _STATES)]
                for one in dispatchers
            ],
            [(listener.is_watching, listener.holds_back, listener.is_open) for listener in engine.listeners],
            [
                list(engine.offers.by_worker),
                dict(engine.offers.ahead.waiting),
                engine.offers._is_told,
                engine.offers._untaken.rests,
            ],
            [dict(turns._counts), turns._most, round(engine.offers.ahead.allowance._left, 6)],
            self._taken(),
            [self.rig.left, self.rig.closed],
        ]

    def _client(self, peer: Any) -> int:
        return self._names.get(peer, -1)

    def _place(self, offered: tuple[int, Any, int] | None) -> object:
        return None if offered is None else (offered[0], self._client(offered[1]), offered[2])

    def _taken(self) -> list[list[int]]:
        """Whose connections each worker has; no deed closes one and takes another."""
        known = self._whose
        self._whose = {
            fd: known[fd] if fd in known else self._peer(fd) for worker in self.rig.workers for fd in worker.has
        }
        return [[self._whose[fd] for fd in worker.has] for worker in self.rig.workers]

    def _peer(self, fd: int) -> int:
        with socket.socket(fileno=os.dup(fd)) as taken:
            try:
                return self._client(taken.getpeername())
            except OSError:
                return -3

    def note_clients(self) -> None:
        """Remember by which address a client is known: it may close its socket."""
        for client in self.rig.clients[len(self._names) :]:
            self._names[client.getsockname()] = len(self._names)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Close everything at the end."""
        try:
            yield
        finally:
            self.close()

    def close(self) -> None:
        """Give back all descriptors."""
        self.rig.close()
        for memory in self.memories.values():
            memory.close()


DEEDS: Final[tuple[Callable[[Dealt, int], None], ...]] = (
    Dealt.connect,
    Dealt.burst,
    Dealt.take,
    Dealt.take,
    Dealt.turn,
    Dealt.give_back,
    Dealt.has_room,
    Dealt.leave,
    Dealt.leave_one,
    Dealt.join,
    Dealt.lost,
    Dealt.tick,
    Dealt.sleep,
    Dealt.spend,
    Dealt.change_policy,
    Dealt.look,
    Dealt.replace,
    Dealt.client_leaves,
    Dealt.fill,
    Dealt.new_worker,
    Dealt.ask_for,
    Dealt.burst_for,
    Dealt.hand_on,
    Dealt.away,
    Dealt.end,
)


@contextlib.contextmanager
def holding_back(enough: int, few: int) -> Iterator[None]:
    """Let listeners hold back when so many wait: with few clients, to see it."""
    modules: list[Any] = [listener, held]
    former, asked = [(module.ENOUGH, module.FEW) for module in modules], held.backlog_of
    for module in modules:
        module.ENOUGH, module.FEW = enough, few
    held.backlog_of = lambda *_: Backlog(0, 4096)
    try:
        yield
    finally:
        held.backlog_of = asked
        for module, numbers in zip(modules, former, strict=True):
            module.ENOUGH, module.FEW = numbers


def dealt(data: bytes, choice: Choice) -> list[list[object]]:
    """Do what ``data`` says, a byte each, and return what was to be seen after each deed.

    Args:
        data: the first byte says how many listeners there are, whether they hold back early, and are of TCP, and which
            policy is the first.
        choice: C or Python.
    """
    kind = data[0] if data else 0
    seen = []
    with holding_back(2, 1) if kind & 1 else contextlib.nullcontext():
        family = socket.AF_INET if kind & 0x40 else socket.AF_UNIX
        played = Dealt(choice, 1 if kind < 0x80 else 2, kind >> 1 & 7, family)
        with played.running():
            for byte in data[1:]:
                number, deed = divmod(byte, len(DEEDS))
                DEEDS[deed](played, number)
                played.note_clients()
                played.turn(0)
                seen.append(played.seen())
    return seen
