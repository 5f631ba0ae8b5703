"""Leave gevent's hub in a process that a worker forks (``machine/forked_child.py`` has the rest).

A fork copies the hub and every greenlet.  Whatever the child waits for first, its hub would go on with the requests of
everybody else, and answer them a second time.  So in the child, which has only the greenlet that forked:

* what was scheduled is called off at once, and before the first switch every watcher that was there at the fork is
  stopped.  Not earlier, because most children never switch: they run another program.  (Only then are there watchers to
  be told apart: ``gc.freeze`` at the fork keeps the older objects out of sight until they are wanted.)
* when the hub has nothing left to do, the process ends, as a child of ``multiprocessing`` does.

A thread that is not the hub's has neither greenlets nor watchers of the worker.  One of gevent's pool waits for further
jobs when it is done: in the child it finds the order to end.

Rejected: a new hub, because sockets, locks and events refer to the one they were made with; killing the other
greenlets, which would run their ``finally``.
"""

from __future__ import annotations

import gc
import traceback
from functools import partial
from typing import Any, Final

import greenlet
from gevent import getcurrent
from gevent.exceptions import LoopExit
from gevent.hub import Hub, get_hub

from ..machine.forked_child import code_of, end, never_resumed, worker_begins
from .greenlet_pool import GreenletPool

__all__ = ["hub_begins"]

_KEPT_WATCHERS: Final = ("fork",)  # they are there to be called in a child


def hub_begins() -> None:
    """In a worker, in the thread of its hub."""
    worker_begins(partial(_leave, get_hub()))


def _leave(hub: Hub) -> None:
    GreenletPool.parks = False
    if _hub_here(hub) is hub:
        _leave_hub(hub)
    else:
        _end_pool_thread(hub)


def _hub_here(hub: Hub) -> Hub | None:
    """Return the hub of this thread; unlike gevent's, make none."""
    here = getcurrent()
    while here is not None:
        if isinstance(here, Hub):
            return here
        here = here.parent
    return hub if hub.parent is getcurrent() else None


def _leave_hub(hub: Hub) -> None:
    for callback in list(hub.loop._callbacks):
        callback.stop()
    if hub.parent is not getcurrent():  # else the main greenlet has forked, and hears itself of the loop's end
        hub.parent = _ender(getcurrent(), hub.parent)
    gc.freeze()
    outer = greenlet.gettrace()

    def first_switch(event: str, between: tuple[Any, Any]) -> None:
        greenlet.settrace(outer)
        try:
            _stop_watchers(hub.loop, between[0])
        except BaseException:  # noqa: BLE001 - with the worker's watchers nothing may go on
            traceback.print_exc()
            end(1)
        if outer is not None:
            outer(event, between)

    greenlet.settrace(first_switch)


def _stop_watchers(loop: Any, forker: object) -> None:  # noqa: ANN401 - gevent has no types for its loops
    """Stop what was watched before the fork, but for what the greenlet that forked waits for."""
    made_here = {id(watcher) for watcher in gc.get_referrers(loop)}
    gc.unfreeze()
    for watcher in gc.get_referrers(loop):
        is_watcher = isinstance(watcher, loop.WatcherType) and type(watcher).__name__ not in _KEPT_WATCHERS
        if is_watcher and id(watcher) not in made_here and not _waits_for(watcher, forker):
            watcher.stop()


def _waits_for(watcher: Any, forker: object) -> bool:  # noqa: ANN401 - as above
    """Whether a watcher resumes ``forker``, or throws into it."""
    target = getattr(watcher.callback, "__self__", None)  # the greenlet itself, or one of gevent's waiters
    return target is forker or getattr(target, "greenlet", None) is forker


def _ender(forker: Any, main: Any) -> greenlet.greenlet:  # noqa: ANN401 - any greenlet
    """Return a greenlet that ends the process when the hub, which becomes its child, has ended."""

    def wait() -> None:
        try:
            forker.switch()
        except LoopExit:
            end(0 if forker.dead or isinstance(forker, Hub) else never_resumed())
        except BaseException as error:  # noqa: BLE001 - whatever has ended the hub ends the process
            end(code_of(error))
        end(0)

    ender: greenlet.greenlet = greenlet.greenlet(wait, main)
    ender.switch()
    return ender


def _end_pool_thread(hub: Hub) -> None:
    pool = hub._threadpool
    if pool is not None:
        pool.task_queue._queue.clear()
        pool.task_queue._queue.append(None)
        pool.task_queue.unfinished_tasks = 2
