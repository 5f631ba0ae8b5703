"""Keep the worker out of a process that it forks: ``os.fork``, ``pty.fork`` or ``multiprocessing`` in a request.

A fork copies the hub and every greenlet.  Whatever the child waits for first, its hub would go on with the requests of
everybody else, and answer them a second time.  So in the child, which has only the greenlet that forked:

* what was scheduled is called off at once, and before the first switch every watcher that was there at the fork is
  stopped.  Not earlier, because most children never switch: they run another program.  (Only then are there watchers to
  be told apart: ``gc.freeze`` at the fork keeps the older objects out of sight until they are wanted.)
* the connections of clients are as if the clients had left: nothing that the child writes reaches them, and their end
  is seen when the worker closes them, not when the child ends;
* when the hub has nothing left to do, the process ends, as a child of ``multiprocessing`` does: streams are flushed,
  ``atexit`` functions are the worker's and are not called.  :func:`end_if_child` does so where the application returns.

A thread that is not the hub's has neither greenlets nor watchers of the worker.  One of gevent's pool waits for further
jobs when it is done: in the child it finds the order to end.

Rejected: a new hub, because sockets, locks and events refer to the one they were made with; killing the other
greenlets, which would run their ``finally``.
"""

from __future__ import annotations

import _socket
import gc
import os
import sys
import traceback
from collections.abc import Iterable
from typing import Any, Final, NoReturn, Protocol
from weakref import WeakSet

import greenlet
from gevent import getcurrent
from gevent.exceptions import LoopExit
from gevent.hub import Hub, get_hub

from .greenlet_pool import GreenletPool
from .script import exit_code_of

__all__ = ["Inherited", "detach", "end_if_child", "is_child", "keep_from_children", "worker_begins"]

_KEPT_WATCHERS: Final = ("fork",)  # they are there to be called in a child


class Inherited(Protocol):
    """Whoever has descriptors that are no child's."""

    def inherited_fds(self) -> Iterable[int]:
        """Return the descriptors, of connections and of listening sockets."""


class _ThisProcess:
    hub: Hub | None = None
    is_child = False
    holders: WeakSet[Inherited] = WeakSet()  # noqa: RUF012 - of the process, like the class


def worker_begins() -> None:
    """In a worker, in the thread of its hub."""
    _ThisProcess.hub = get_hub()


def keep_from_children(holder: Inherited) -> None:
    """In a process that is forked from now on, the descriptors of ``holder`` lead to nobody."""
    _ThisProcess.holders.add(holder)


def is_child() -> bool:
    """Whether this process was forked by a worker, or by such a process."""
    return _ThisProcess.is_child


def end_if_child(error: BaseException | None = None) -> None:
    """Where the application has returned to the server: in a child, end this process.

    Args:
        error: what the application raised.
    """
    if _ThisProcess.is_child:
        _end(_code_of(error))


def detach() -> None:
    """In a process that a worker has just forked: leave the worker behind."""
    _ThisProcess.is_child = True
    GreenletPool.parks = False
    _sever()
    hub = _ThisProcess.hub
    if hub is None:
        return
    if _hub_here() is hub:
        _leave_hub(hub)
    else:
        _end_pool_thread(hub)


def _hub_here() -> Hub | None:
    """Return the hub of this thread; unlike gevent's, make none."""
    here = getcurrent()
    while here is not None:
        if isinstance(here, Hub):
            return here
        here = here.parent
    hub = _ThisProcess.hub
    return hub if hub is not None and hub.parent is getcurrent() else None


def _sever() -> None:
    """Let descriptors lead to a socket whose other end is closed."""
    holders = list(_ThisProcess.holders)
    if not holders:
        return
    ours, other = _socket.socketpair()
    other.close()
    for holder in holders:
        for fd in holder.inherited_fds():
            if fd >= 0:
                os.dup2(ours.fileno(), fd, inheritable=False)
    ours.close()


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
            _end(1)
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
            _end(0 if forker.dead or isinstance(forker, Hub) else _never_resumed())
        except BaseException as error:  # noqa: BLE001 - whatever has ended the hub ends the process
            _end(_code_of(error))
        _end(0)

    ender: greenlet.greenlet = greenlet.greenlet(wait, main)
    ender.switch()
    return ender


def _end_pool_thread(hub: Hub) -> None:
    pool = hub._threadpool
    if pool is not None:
        pool.task_queue._queue.clear()
        pool.task_queue._queue.append(None)
        pool.task_queue.unfinished_tasks = 2


def _never_resumed() -> int:
    sys.stderr.write(
        f"Process {os.getpid()}, which a worker forked, waits for something that only the worker can do: it ends.\n"
    )
    return 1


def _code_of(error: BaseException | None) -> int:
    if error is None:
        return 0
    if isinstance(error, SystemExit):
        return exit_code_of(error)
    traceback.print_exception(type(error), error, error.__traceback__)
    return 1


def _end(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):  # none, broken or closed
            continue
    os._exit(code & 0xFF)
