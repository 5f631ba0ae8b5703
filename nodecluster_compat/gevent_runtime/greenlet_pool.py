"""Reuse greenlets: one serves a connection after another.

A new greenlet needs memory for Python's frames, which CPython since 3.11 maps and unmaps for each: two system calls and
a page fault, some 8 us, a tenth of what a short connection costs.  So a greenlet that is done waits here for the next
job, if nobody can tell the difference:

* nobody refers to it, strongly or weakly.  Whatever keeps something *for* a greenlet (``threading.local`` of a patched
  process, ``threading.current_thread``, a lock's owner) refers to it; such a greenlet ends with its job, as gevent's
  do, and so does what was kept.
* it has no attributes but gevent's, and nothing in ``spawn_tree_locals``: what a tracer or an application has set on
  ``getcurrent()`` was meant for one client.
* its context variables are gone: the next job begins with an empty context, as in a new greenlet.

Weak references are counted when the job is done, strong ones when the greenlet is wanted again: only then is it certain
that the loop which resumed it last has let go of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, Final
from weakref import WeakSet, getweakrefcount

from gevent import GreenletExit, get_hub, getcurrent, spawn_raw
from greenlet import greenlet

from ..base.native import Choice, Native, in_force

__all__ = ["GreenletPool"]

_MOST_PARKED: Final = 64
_UNSHARED: Final = 2  # the name that holds it, and the argument that asks


class GreenletPool:
    """Runs jobs in greenlets.

    Args:
        work: does one job, in a greenlet of its own; what it raises ends that greenlet.
        choice: C or Python; what is in force unless it is said.

    Attributes:
        in_c: what does the same in C, and is called instead where there is one.
        parks: whether greenlets wait for a next job; in a process that a worker forked none does.
    """

    parks: ClassVar[bool] = True
    _all: ClassVar[WeakSet[GreenletPool]] = WeakSet()

    def __init__(self, work: Callable[..., None], choice: Choice | None = None) -> None:
        self._work = work
        self._hub = get_hub()
        self._parked: list[Any] = []
        self._all.add(self)
        self.in_c: Any = None
        native = (in_force() if choice is None else choice).module
        if native is not None:
            self._use_c(native)

    def _use_c(self, native: Native) -> None:
        self.in_c = native.Greenlets(
            pool=GreenletPool,
            work=self._work,
            parked=self._parked,
            hub=self._hub,
            run_later=self._hub.loop.run_callback,
            spawn=spawn_raw,
            current=getcurrent,
            switch_to=greenlet.switch,
            references=getweakrefcount,
            run=_run_in_c,
            most=_MOST_PARKED,
        )
        self.start = self.in_c.start  # type: ignore[method-assign]
        self.start_at_once = self.in_c.start_at_once  # type: ignore[method-assign]

    def start(self, *job: object) -> greenlet:
        """Do a job on the next turn of the loop.

        Args:
            job: the arguments of ``work``.

        Returns:
            The greenlet that does it.
        """
        worker = self._reusable()
        if worker is None:
            return spawn_raw(self._run, job)  # of gevent's own kind: killall and others want more than a greenlet
        self._hub.loop.run_callback(worker.switch, job)
        return worker

    def start_at_once(self, *job: object) -> greenlet | None:
        """Do a job before this returns, up to where it waits, if the hub calls and a greenlet is parked.

        Args:
            job: the arguments of ``work``.

        Returns:
            The greenlet that does it on the next turn of the loop; ``None``: it has begun.
        """
        worker = self._reusable() if getcurrent() is self._hub else None
        if worker is None:
            return self.start(*job)
        try:
            worker.switch(job)
        except BaseException as error:  # noqa: BLE001 - as if the loop had begun it
            with suppress(MemoryError):  # or it would seem not to have begun
                self._hub.handle_error(worker, type(error), error, error.__traceback__)
        return None

    @classmethod
    def end_parked(cls) -> None:
        """In the main greenlet, at the end of the process: end every greenlet that waits, whoever it belongs to."""
        for pool in list(cls._all):
            while pool._parked:
                worker = pool._parked.pop()
                worker.parent = getcurrent()  # not the hub, which would go on with everything else
                worker.throw(GreenletExit)

    def _reusable(self) -> greenlet | None:
        while self._parked:
            worker = self._parked.pop()
            if not worker:
                continue  # somebody who had kept it has ended it
            if sys.getrefcount(worker) == _UNSHARED and not getweakrefcount(worker):
                worker.gr_context = None
                return worker
            self._hub.loop.run_callback(worker.switch, None)  # ends it
        return None

    def _run(self, job: tuple[Any, ...] | None) -> None:
        born_with = len(vars(getcurrent()))
        while job is not None:
            self._work(*job)
            worker = getcurrent()
            if not self.parks or len(self._parked) >= _MOST_PARKED or _is_marked(worker, born_with):
                return
            self._parked.append(worker)
            del worker
            job = self._hub.switch()


def _is_marked(worker: Any, born_with: int) -> bool:  # noqa: ANN401 - of a class of gevent's
    return bool(getweakrefcount(worker) or getattr(worker, "spawn_tree_locals", None) or len(vars(worker)) != born_with)


def _run_in_c(greenlets: Any, job: tuple[Any, ...]) -> None:  # noqa: ANN401 - of C
    greenlets.run(job)
