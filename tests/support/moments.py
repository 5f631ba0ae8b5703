"""Two tables, what can happen to a worker and when; their product is the matrix of ``tests/faults/test_matrix.py``.

A *fault* is a function of ``injuries``. A *moment* is a step of the server at which that function is called, in a
worker that comes there because of what the cell does: kills another one, asks, disconnects, reloads.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Literal

__all__ = [
    "ASGI_CELLS",
    "CELLS",
    "FAULTS",
    "MOMENTS",
    "QUICK",
    "QUICK_OF_ASGI",
    "QUICK_OF_THREADS",
    "SLOW_OF_ASGI",
    "SLOW_OF_THREADS",
    "THREAD_CELLS",
    "Fault",
    "Moment",
]

Effect = Literal["ends", "blocks", "hurts", "passes"]
"""It ends the worker at once; a limit has to end it; it may end it; it must not end it."""

Way = Literal["successor", "asked", "disconnected", "reload", "old", "upgrade", "shutdown"]
"""How a worker is brought there: it takes the place of one that is killed; by a request; by ``disconnect()``; as a
worker of a reload's new generation; as one of the old; of the new master of USR2; by TERM of the server."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to a worker.

    Attributes:
        function: of ``injuries``; *args*: what it is given.
        effect: what follows from it.
        exact: nothing more is heard of the worker afterwards but its end.
        never: moments at which it makes no sense, and why.
    """

    name: str
    function: str
    effect: Effect
    args: tuple[int, ...] = ()
    exact: bool = True
    never: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Moment:
    """When it happens.

    Attributes:
        step: where the function is called.
        way: how the worker is brought there.
        told: what has been told of the worker by then.
        serves: the worker may have taken connections, and lose them.
    """

    name: str
    step: str
    way: Way
    told: tuple[str, ...]
    serves: bool = False


BORN: Final = ("fork",)
ONLINE: Final = (*BORN, "online")
LISTENING: Final = (*ONLINE, "listening")

OFFERED: Final = "nodecluster_compat.connections.taking_end:TakingEnd._has_place"
TAKEN: Final = "nodecluster_compat._gunicorn.worker.gevent_worker:ClusterGeventWorker.handle"
DRAINING: Final = "nodecluster_compat.roles.this_worker:ClusterWorker.tell_disconnecting"

MOMENTS: Final = (
    Moment("fork", "fork", "successor", BORN),
    Moment("before online", "online", "successor", BORN),
    Moment("boot", "boot", "successor", ONLINE),
    Moment("before listening", "ready", "successor", ONLINE),
    Moment("after listening", "listening", "successor", LISTENING, serves=True),
    Moment("handoff, before it is taken", OFFERED, "asked", LISTENING, serves=True),
    Moment("handoff, after it was taken", TAKEN, "asked", LISTENING, serves=True),
    Moment("request", "request", "asked", LISTENING, serves=True),
    Moment("drain", DRAINING, "disconnected", LISTENING, serves=True),
    Moment("reload, new worker boots", "boot", "reload", ONLINE),
    Moment("reload, new worker listens", "listening", "reload", LISTENING, serves=True),
    Moment("reload, old worker drains", DRAINING, "old", LISTENING, serves=True),
    Moment("USR2, new master's worker boots", "boot", "upgrade", ONLINE),
    Moment("shutdown", DRAINING, "shutdown", LISTENING, serves=True),
)

NO_CHANNEL: Final = {"fork": "the worker has not taken its channels yet; right before `online` it has"}

FAULTS: Final = (
    Fault("SIGKILL", "kill", "ends"),
    Fault("SIGSTOP", "stop", "blocks"),
    Fault("SIGSEGV", "crash", "ends"),
    Fault("exit", "leave", "ends", (7,)),
    Fault("hang", "hang", "blocks"),
    Fault("no memory", "starve", "hurts", exact=False),
    Fault("message channel closed", "close_messages", "ends", exact=False, never=NO_CHANNEL),
    Fault("connection channel closed", "close_connections", "ends", exact=False, never=NO_CHANNEL),
    Fault("garbage frame", "garbage_frame", "ends", exact=False, never=NO_CHANNEL),
    Fault("garbage packet", "garbage_packet", "ends", exact=False, never=NO_CHANNEL),
    Fault("full channel", "read_nothing", "passes"),
)

THREADS_TAKEN: Final = "nodecluster_compat._gunicorn.worker.threads.worker:ClusterThreadWorker.handle"
ASGI_TAKEN: Final = "nodecluster_compat._gunicorn.worker.asgi.sources:ConnectionOpener.open"

CELLS: Final = tuple((fault, moment) for fault in FAULTS for moment in MOMENTS if moment.name not in fault.never)


def _cells_of(taken: str) -> tuple[tuple[Fault, Moment], ...]:
    return tuple((fault, replace(moment, step=taken) if moment.step == TAKEN else moment) for fault, moment in CELLS)


# A request that hangs has a thread of its own, which `timeout` does not see: nothing has to end the worker.
_ON_OTHER_THREADS: Final = {("hang", "handoff, after it was taken"), ("hang", "request")}
THREAD_CELLS: Final = tuple(
    (fault, moment) for fault, moment in _cells_of(THREADS_TAKEN) if (fault.name, moment.name) not in _ON_OTHER_THREADS
)
ASGI_CELLS: Final = _cells_of(ASGI_TAKEN)

# Each fault and each moment at least once: the quick run. The other cells are `long`.
QUICK: Final = frozenset(
    {
        ("SIGKILL", "fork"),
        ("exit", "before online"),
        ("no memory", "boot"),
        ("message channel closed", "before listening"),
        ("SIGSEGV", "after listening"),
        ("hang", "after listening"),
        ("SIGSTOP", "request"),
        ("connection channel closed", "handoff, before it is taken"),
        ("SIGKILL", "handoff, after it was taken"),
        ("garbage packet", "request"),
        ("full channel", "request"),
        ("garbage frame", "drain"),
        ("SIGKILL", "drain"),
        ("exit", "reload, new worker boots"),
        ("SIGSTOP", "reload, new worker listens"),
        ("message channel closed", "reload, old worker drains"),
        ("garbage frame", "USR2, new master's worker boots"),
        ("SIGKILL", "shutdown"),
        ("full channel", "shutdown"),
    }
)

# Of the other kinds each moment once, with threads or with a loop, mostly where nothing has to be waited for.
QUICK_OF_THREADS: Final = frozenset(
    {
        ("SIGKILL", "fork"),
        ("no memory", "boot"),
        ("hang", "after listening"),
        ("SIGKILL", "handoff, after it was taken"),
        ("SIGKILL", "drain"),
        ("SIGSEGV", "reload, new worker listens"),
        ("garbage frame", "USR2, new master's worker boots"),
    }
)
QUICK_OF_ASGI: Final = frozenset(
    {
        ("exit", "before online"),
        ("message channel closed", "before listening"),
        ("connection channel closed", "handoff, before it is taken"),
        ("garbage packet", "request"),
        ("exit", "reload, new worker boots"),
        ("message channel closed", "reload, old worker drains"),
        ("full channel", "shutdown"),
    }
)


def _with_each_moment(quick: frozenset[tuple[str, str]], fault: str) -> frozenset[tuple[str, str]]:
    met = {moment for _, moment in quick}
    return quick | {(fault, moment.name) for moment in MOMENTS if moment.name not in met}


# What can differ by kind, at each moment: who serves, how it boots, drains and ends. The other cells are `long`.
SLOW_OF_THREADS: Final = _with_each_moment(QUICK_OF_THREADS, "SIGKILL")
SLOW_OF_ASGI: Final = _with_each_moment(QUICK_OF_ASGI, "exit")
