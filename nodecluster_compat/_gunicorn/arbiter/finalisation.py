"""Let Python finalise what the application holds: at the end of a process, let go of everything that is held for it.

Python closes files, runs ``__del__`` and collects cycles when an interpreter ends, but only of what nobody refers to.
The server refers to the application from many places that live as long as the process: greenlets that wait for a next
job, handlers on ``cluster`` and ``process``, the arbiter, the memory that no collection looks at (``copy_on_write``).
So the last of the ``atexit`` functions lets go of all of them.  It is registered before any application is loaded, and
so runs after the application's own.

Collecting what was frozen costs a worker processor time at its end, as it costs every program.  Rejected: leaving
frozen what the primary had made, because modules that are never collected hold what the application gave them.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import logging
import os
import signal as signals
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from ...base.handler_calls import set_uncaught
from ...machine.children import living_children
from ...machine.frozen import unfreeze
from ...machine.last_words import renew_last_words
from ...roles.cluster import cluster
from ...roles.process import process
from . import forking
from .forking import HELD_SIGNALS

__all__ = ["at_end", "finalise_as_python_does"]

_BUFFERED: Final = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
_holders: list[Callable[[], None]] = []


def at_end(let_go: Callable[[], None]) -> None:
    """Have somebody who refers to the application let go of it at the end of this process.

    What a cycle holds is collected at the very end only, and not in the order in which it was made.
    """
    _holders.append(let_go)


def finalise_as_python_does() -> None:
    """Let go of the application after every function that is registered with ``atexit`` from now on."""
    atexit.unregister(_let_go)
    atexit.register(_let_go)


def _let_go() -> None:
    """Let go in this order: what runs greenlets first, what refers to them then, what is kept from collections last."""
    renew_last_words()
    for name in ("gevent_runtime.reactor", "gevent_runtime.servers.servers_in_process"):
        module = sys.modules.get(f"nodecluster_compat.{name}")  # the primary of server mode imports neither
        if module is not None:
            module.let_go()
    if cluster.is_worker:
        _name_children()
    _outlive_signals(HELD_SIGNALS if cluster.is_worker else {signals.SIGTERM})
    set_uncaught(None)
    cluster.let_go()
    process.let_go()
    forking.let_go()
    while _holders:
        _holders.pop()()
    unfreeze()
    _flush_files()


def _flush_files() -> None:
    """Write what open files have buffered: of those that are part of a cycle the collector may close the file first."""
    # By identity: the class of an application's object need not be hashable.
    kinds = {id(kind) for base in _BUFFERED for kind in _with_subclasses(base)}
    for held in [held for held in gc.get_objects() if id(type(held)) in kinds]:
        with contextlib.suppress(Exception):  # closed, detached, a full disk: its own end will say so
            held.flush()


def _with_subclasses(kind: type) -> Iterator[type]:
    yield kind
    subclasses: list[type] = type.__subclasses__(kind)
    for subclass in subclasses:
        yield from _with_subclasses(subclass)


def _outlive_signals(numbers: Iterable[signals.Signals]) -> None:
    """What had a handler does nothing from now on: Python takes the handlers off, and a late TERM would cut the end.

    A primary can still be interrupted, for a finaliser of an application may hang.
    """
    for number in numbers:
        if callable(signals.getsignal(number)):
            signals.signal(number, signals.SIG_IGN)


def _helpers_of_multiprocessing() -> set[int | None]:
    """The processes that it starts for itself: they end when this one has."""
    tracker: Any = sys.modules.get("multiprocessing.resource_tracker")
    server: Any = sys.modules.get("multiprocessing.forkserver")
    return {
        getattr(getattr(tracker, "_resource_tracker", None), "_pid", None),
        getattr(getattr(server, "_forkserver", None), "_forkserver_pid", None),
    }


def _name_children() -> None:
    """Log the processes that the application has started and not waited for: they outlive the worker."""
    pids = [pid for pid in living_children() if pid not in _helpers_of_multiprocessing()]
    if pids:
        names = ", ".join(map(str, pids))
        logging.getLogger("gunicorn.error").warning(
            "Worker (pid:%s) ends before processes that it has started, and they go on: pid %s", os.getpid(), names
        )
