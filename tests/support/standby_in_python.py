"""Do in Python what the dealer's standby does: the reference that it is held against."""

from __future__ import annotations

import os
import select
from typing import Any, Final

from nodecluster_compat.base.records import Connection
from nodecluster_compat.connections.policies import BUILT_IN, RoundRobin
from nodecluster_compat.connections.policies.client_address import ClientAddressHash

__all__ = ["deal_as_standby"]

_CAN_TAKE: Final = select.POLLOUT


_MOST_LISTENERS: Final = 8


def deal_as_standby(engine: Any) -> None:
    """Deal what has come to an engine, until somebody would have to be waited for."""
    listeners = list(engine.listeners)
    if len(listeners) <= _MOST_LISTENERS and not any(map(_is_waited_for, listeners)):
        made = [_Plan(engine, listener) for listener in listeners if _is_simple(listener)]
        _deal([one for one in made if one.order])


def _deal(plans: list[_Plan]) -> None:
    """Let each listener deal in turn, and note all of it in that order."""
    given: list[tuple[_Plan, int]] = []
    waiting: list[tuple[_Plan, Connection]] = []
    first = 0
    while (number := next((n for n in _rotated(len(plans), first) if plans[n].deal_one()), None)) is not None:
        first, one = number + 1, plans[number]
        if one.just_kept is not None:
            waiting.append((one, one.just_kept))
        else:
            given.append((one, one.just_given))
            for other in plans:
                other.had_its_turn(one.just_given)
    for one, worker_id in given:
        one.note(worker_id)
    for one, connection in waiting:
        one.keep(connection)


def _rotated(count: int, first: int) -> list[int]:
    return [(first + number) % count for number in range(count)]


def _is_waited_for(listener: Any) -> bool:
    dispatcher = listener.dispatcher
    policy = type(dispatcher._policy)
    return policy not in BUILT_IN or bool(dispatcher._line if policy is ClientAddressHash else dispatcher.pending)


def _is_simple(listener: Any) -> bool:
    return (
        listener.is_watching
        and listener.client_of is None
        and not listener._delay
        and (listener.look is None or not listener.dispatcher.has_several)
    )


class _Plan:
    """What has been dealt, before it is noted."""

    def __init__(self, engine: Any, listener: Any) -> None:
        self.engine, self.listener = engine, listener
        self.dispatcher = dispatcher = listener.dispatcher
        self.policy = dispatcher._policy
        ids = [*self.policy._idle, *engine.offers.by_worker, *engine.offers.ahead.waiting]
        self.order = [one for one in ids if one in dispatcher._members and one not in dispatcher._full]
        if type(self.policy) is ClientAddressHash or hasattr(self.policy, "_weights"):
            self.others = [one for one in dispatcher._members if one not in self.order]
            self.order += self.others
        else:
            self.others = []
        self.kept: dict[int, int] = {one: len(queue) for one, queue in dispatcher._named.items()}
        self.just_given = 0
        self.just_kept: Connection | None = None
        self.is_over = False

    def deal_one(self) -> bool:
        """Deal one connection, if any has come and somebody can have it."""
        names = type(self.policy) is ClientAddressHash and isinstance(self.listener._sock.getsockname(), tuple)
        if self.is_over or not _events(self.listener._fd, select.POLLIN):
            return False
        if not names and self._chosen(Connection(-1, "")) is None:
            return False
        connection = Connection(*self.listener._sock._accept())
        worker_id = self._chosen(connection, is_final=True)
        assert worker_id is not None
        if worker_id not in self._idle() or self.kept.get(worker_id):
            self.kept[worker_id] = self.kept.get(worker_id, 0) + 1
            self.just_kept = connection
            self.is_over = self.kept[worker_id] > self.dispatcher._most_named
        else:
            self.just_given, self.just_kept = worker_id, None
            self._give(worker_id, connection)
        return True

    def had_its_turn(self, worker_id: int) -> None:
        """A worker was given a connection, of whichever listener."""
        if worker_id in self.order:
            self.order.remove(worker_id)
            self.order.append(worker_id)

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
        end = self.engine._ends[worker_id]
        end.offer(self.listener.served.listener_id, connection.fd, connection.peer)
        os.close(connection.fd)

    def note(self, worker_id: int) -> None:
        """The dealer hears of a connection that was given away."""
        engine, dispatcher = self.engine, self.dispatcher
        engine.offers.by_worker.pop(worker_id, None)
        dispatcher._last += 1
        dispatcher._places[worker_id] = dispatcher._last
        engine.offers.by_worker[worker_id] = engine._ends[worker_id]
        engine.offers.ahead.offered(worker_id)
        for listener in engine.listeners:
            listener.dispatcher.busy(worker_id)

    def keep(self, connection: Connection) -> None:
        """The dealer gets one that waits for its worker."""
        self.engine.offers.find_idle()
        self.dispatcher.add(connection)


def _events(fd: int, wanted: int) -> int:
    poll = select.poll()
    poll.register(fd, wanted)
    return sum(events for _, events in poll.poll(0))
