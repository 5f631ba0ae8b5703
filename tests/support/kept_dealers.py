"""Deal in C for many inputs with one engine, whom nobody asks what it has done: an engine costs as much as some inputs.

An input finds two workers that have nothing, and no client, as the first one did.  What an engine remembers beyond that
may depend on the inputs before; there are not so many of them that the journal would not have all.
"""

from __future__ import annotations

import _socket
import contextlib
import os
import socket
import struct
from typing import Any, Final

from dealt_twice import DEEDS, POLICIES, Dealt, holding_back
from engine_rig import EngineRig, Played

from nodecluster_compat.base.native import in_force
from nodecluster_compat.connections.policies import RoundRobin

__all__ = ["close", "deal", "kept"]

_HOLDS_BACK: Final = 0x01  # of the first byte of an input, as dealt_twice.py has it
_IS_TCP: Final = 0x40
_HAS_TWO: Final = 0x80
_MOST_INPUTS: Final = 200
_MOST_TURNS: Final = 50  # behind which nothing more happens
_FIRST_WORKERS: Final = 2
_SECOND: Final = 1.0
_LONG: Final = 240.0  # seconds, behind which workers may be made to wait as at the begin, whatever was spent
_RESET: Final = struct.pack("ii", 1, 0)


def deal(data: bytes) -> None:
    """Do what the bytes say, as :func:`dealt_twice.dealt`, and look at nothing."""
    kind = data[0] if data else 0
    with holding_back(2, 1) if kind & _HOLDS_BACK else contextlib.nullcontext():
        _deal(kind, data[1:])


def close() -> None:
    """Give back what is kept."""
    while kept:
        kept.popitem()[1].played.close()


def _deal(kind: int, deeds: bytes) -> None:
    number = kind & (_HOLDS_BACK | _IS_TCP | _HAS_TWO)
    one = kept.pop(number, None) or Kept(number)
    is_as_before = False
    try:
        one.deal(kind >> 1 & 7, deeds)
        is_as_before = one.is_tidied()
    finally:
        if is_as_before and one.inputs < _MOST_INPUTS:
            kept[number] = one
        else:
            one.played.close()


class _Rig(EngineRig):
    """Does not wait for clients, and has them as cheap as they are to be had."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.turns, self.waits = 1, False
        self._family = int(self.socks[0].family)
        self._names = [sock.getsockname() for sock in self.socks]

    def reach(self, number: int) -> None:
        client: Any = _socket.socket(self._family)
        self.clients.append(client)
        client.bind((next(self.hosts), 0) if self._family == _socket.AF_INET else "")
        client.connect(self._names[number])


class Kept:
    """An engine, its workers and its clients.

    Args:
        kind: as the first byte of an input says it, but for the policy.
    """

    def __init__(self, kind: int) -> None:
        family = socket.AF_INET if kind & _IS_TCP else socket.AF_UNIX
        self.played = Dealt(in_force(), 2 if kind & _HAS_TWO else 1, 0, family, _Rig)
        self.inputs = 0

    def deal(self, policy: int, deeds: bytes) -> None:
        """Do what the bytes say."""
        played, turn = self.played, self.played.rig.turn
        self.inputs += 1
        played.engine.listeners.use_policy(POLICIES[policy])
        for byte in deeds:
            number, deed = divmod(byte, len(DEEDS))
            DEEDS[deed](played, number)
            turn()

    # --- behind an input ------------------------------------------------------------------------

    def is_tidied(self) -> bool:
        """Let all of it end; return whether it has."""
        played, listeners = self.played, self.played.engine.listeners
        played.clock.now += _LONG
        for listener in listeners:
            listener.serve_again()
        listeners.use_policy(RoundRobin)
        self._end_clients()
        self._change_workers()
        played.replaced.clear()
        played.rig.conditions.clear()
        played.rig.left.clear()
        played.rig.closed.clear()
        return any(self._is_settled() for _ in range(_MOST_TURNS))

    def _end_clients(self) -> None:
        for client in self.played.rig.clients:
            if client.family == _socket.AF_INET and client.fileno() >= 0:
                client.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, _RESET)  # or its port stays in use
            client.close()
        self.played.rig.clients.clear()
        for sock in self.played.rig.socks:
            _forget_waiting(sock)

    def _change_workers(self) -> None:
        """Have two workers that serve everything, and look at nothing; new ones in the place of those that left."""
        workers, engine = self.played.rig.workers, self.played.engine
        for worker in [*workers[_FIRST_WORKERS:], *(one for one in workers[:_FIRST_WORKERS] if self._has_left(one))]:
            self._lose(worker)
        for worker in workers:
            engine.listeners.looks_no_more(worker.id)
            for listener in engine.listeners:
                if not listener.dispatcher.serves(worker.id):
                    engine.join(worker.id, listener.served.listener_id)
                listener.dispatcher.has_room(worker.id)
        while len(workers) < _FIRST_WORKERS:
            self.played.new_worker(0)

    def _has_left(self, worker: Played) -> bool:
        return worker.id not in self.played.engine._ends or worker.end.has_left or not worker.can_send

    def _lose(self, worker: Played) -> None:
        self.played.rig.workers.remove(worker)
        self.played.engine.lost(worker.id)
        worker.close()
        self.played.memories.pop(worker.id).close()
        self.played.gone.discard(worker.id)

    def _is_settled(self) -> bool:
        """Let what waits end, and workers what they have; return whether that was all."""
        played = self.played
        played.clock.now += _SECOND
        played.rig.turn()
        for listener in played.engine.listeners:
            if listener.dispatcher.pending:
                listener.drop(listener.waiting)
        for worker in played.rig.workers:
            self._empty(worker)
        played.engine.offers.find_idle()
        return not played.engine.offers.by_worker

    def _empty(self, worker: Played) -> None:
        if worker.end.is_busy or worker.has_offer():
            while worker.has_offer():
                worker.take()
        for fd in worker.has:
            os.close(fd)
        worker.has.clear()
        self.played.count(worker.id, worker.end.handed)


def _forget_waiting(sock: socket.socket) -> None:
    """Leave no client of this input to the kernel: it would be one of the next, and some thousands have no room."""
    with contextlib.suppress(BlockingIOError):
        while True:
            os.close(sock._accept()[0])  # type: ignore[attr-defined]


kept: Final[dict[int, Kept]] = {}
"""Those that wait for an input, by their kind."""
