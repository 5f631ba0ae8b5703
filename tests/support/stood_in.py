"""Do in Python what the dealer's standby does: the reference that it is held against."""

from __future__ import annotations

import select
from typing import Any, Final

from nodecluster_compat.base.records import Connection
from nodecluster_compat.connections.policies import RoundRobin

__all__ = ["stand_in"]

_CAN_TAKE: Final = select.POLLOUT


def stand_in(engine: Any) -> None:
    """Deal what has come to an engine, until somebody would have to be waited for."""
    listeners = list(engine.listeners)
    if len(listeners) == 1 and _is_simple(listeners[0]):
        (listener,) = listeners
        dispatcher = listener.dispatcher
        ids = [*dispatcher._policy._idle, *engine._offers, *engine.ahead.waiting]
        order = [one for one in ids if one in dispatcher._members and one not in dispatcher._full]
        while _events(listener._fd, select.POLLIN) and _deal_one(engine, listener, order):
            pass


def _is_simple(listener: Any) -> bool:
    dispatcher = listener.dispatcher
    return (
        type(dispatcher._policy) is RoundRobin
        and listener.is_watching
        and not dispatcher.pending
        and listener.client_of is None
        and not listener._delay
        and (listener.look is None or not dispatcher.has_several)
    )


def _deal_one(engine: Any, listener: Any, order: list[int]) -> bool:
    worker_id = _due(engine, order)
    if not worker_id:
        return False
    order.remove(worker_id)
    order.append(worker_id)
    dispatcher, end = listener.dispatcher, engine._ends[worker_id]
    end.taken()
    engine._offers.pop(worker_id, None)
    dispatcher.busy(worker_id)
    dispatcher._last += 1
    dispatcher._places[worker_id] = dispatcher._last
    return bool(engine._deliver(listener.served.listener_id, worker_id, Connection(*listener._sock._accept())))


def _due(engine: Any, order: list[int]) -> int:
    for worker_id in list(order):
        events = _events(engine._ends[worker_id].fileno(), select.POLLIN | select.POLLOUT)
        if events & ~_CAN_TAKE:
            order.remove(worker_id)
        else:
            return worker_id if events else 0
    return 0


def _events(fd: int, wanted: int) -> int:
    poll = select.poll()
    poll.register(fd, wanted)
    return sum(events for _, events in poll.poll(0))
