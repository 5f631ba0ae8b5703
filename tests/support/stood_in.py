"""Do in Python what the dealer's standby does: the reference that it is held against."""

from __future__ import annotations

import os
import select
from typing import Any, Final

from nodecluster_compat.base.records import Connection
from nodecluster_compat.connections.policies import BUILT_IN, RoundRobin
from nodecluster_compat.connections.policies.client_address import ClientAddressHash

__all__ = ["stand_in"]

_CAN_TAKE: Final = select.POLLOUT


def stand_in(engine: Any) -> None:
    """Deal what has come to an engine, until somebody would have to be waited for."""
    listeners = list(engine.listeners)
    if len(listeners) == 1 and _is_simple(listeners[0]):
        standing = _Standing(engine, listeners[0])
        if standing.order:
            standing.deal()
            standing.note()


def _is_simple(listener: Any) -> bool:
    dispatcher = listener.dispatcher
    policy = type(dispatcher._policy)
    return (
        policy in BUILT_IN
        and listener.is_watching
        and not (dispatcher._line if policy is ClientAddressHash else dispatcher.pending)
        and listener.client_of is None
        and not listener._delay
        and (listener.look is None or not dispatcher.has_several)
    )


class _Standing:
    """What has been dealt, before it is noted."""

    def __init__(self, engine: Any, listener: Any) -> None:
        self.engine, self.listener = engine, listener
        self.dispatcher = dispatcher = listener.dispatcher
        self.policy = dispatcher._policy
        ids = [*self.policy._idle, *engine._offers, *engine.ahead.waiting]
        self.order = [one for one in ids if one in dispatcher._members and one not in dispatcher._full]
        if type(self.policy) is ClientAddressHash or hasattr(self.policy, "_weights"):
            self.others = [one for one in dispatcher._members if one not in self.order]
            self.order += self.others
        else:
            self.others = []
        self.kept: dict[int, int] = {one: len(queue) for one, queue in dispatcher._named.items()}
        self.given: list[int] = []
        self.waiting: list[Connection] = []

    def deal(self) -> None:
        names = type(self.policy) is ClientAddressHash and isinstance(self.listener._sock.getsockname(), tuple)
        while _events(self.listener._fd, select.POLLIN) and (names or self._chosen(Connection(-1, "")) is not None):
            connection = Connection(*self.listener._sock._accept())
            worker_id = self._chosen(connection, is_final=True)
            assert worker_id is not None
            if worker_id not in self._idle() or self.kept.get(worker_id):
                self.kept[worker_id] = self.kept.get(worker_id, 0) + 1
                self.waiting.append(connection)
                if self.kept[worker_id] > self.dispatcher._most_named:
                    return
            else:
                self._give(worker_id, connection)

    def _chosen(self, connection: Connection, is_final: bool = False) -> int | None:
        """Let the twin choose among those that are idle in truth."""
        policy, idle = self.policy, self._idle()
        if type(policy) is RoundRobin:
            return self._in_turn()
        names = ("_idle", "_state", "_credits")
        former = {name: getattr(policy, name) for name in names if hasattr(policy, name)}
        policy._idle = dict.fromkeys(idle)
        chosen: int | None = policy.choose(connection)
        if not is_final:
            for name in former.keys() - {"_idle"}:
                setattr(policy, name, former[name])
        policy._idle = former["_idle"]
        return chosen

    def _in_turn(self) -> int | None:
        for one in self.order:
            events = self._events_of(one)
            if not events & ~_CAN_TAKE:
                return one if events else None
        return None

    def _idle(self) -> list[int]:
        return [one for one in self.order if one not in self.others and self._events_of(one) == _CAN_TAKE]

    def _events_of(self, worker_id: int) -> int:
        return _events(self.engine._ends[worker_id].fileno(), select.POLLIN | select.POLLOUT)

    def _give(self, worker_id: int, connection: Connection) -> None:
        self.order.remove(worker_id)
        self.order.append(worker_id)
        self.given.append(worker_id)
        end = self.engine._ends[worker_id]
        end.offer(self.listener.served.listener_id, connection.fd, connection.peer)
        os.close(connection.fd)

    def note(self) -> None:
        engine, dispatcher = self.engine, self.dispatcher
        for worker_id in self.given:
            engine._offers.pop(worker_id, None)
            dispatcher.busy(worker_id)
            dispatcher._last += 1
            dispatcher._places[worker_id] = dispatcher._last
            engine._offers[worker_id] = engine._ends[worker_id]
            engine.ahead.offered(worker_id)
        for connection in self.waiting:
            engine.find_idle()
            dispatcher.add(connection)


def _events(fd: int, wanted: int) -> int:
    poll = select.poll()
    poll.register(fd, wanted)
    return sum(events for _, events in poll.poll(0))
