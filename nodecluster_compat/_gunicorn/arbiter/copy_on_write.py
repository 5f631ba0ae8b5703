"""Share memory between primary and workers (copy-on-write), so that a worker starts fast and takes little.

Theory of operation
-------------------
After a fork parent and child share every page that neither writes to.  Four things write to many of them for nothing:

* importing: what every worker would import after the fork is imported once, before it.  What that is depends on the
  kind of worker (``prepare`` of its class), and a primary imports nothing for a kind that it does not have; the
  application is not among it;
* the garbage collector, which marks every object that it looks at.  The child freezes what it is born with, so its
  collections see what it makes itself.  Frozen in the child and not in the parent, where handles of workers that are
  gone would otherwise stay for ever.  In between no collection may run, so it is off during the fork;
* counting references to what libraries consist of, which Python can leave from 3.12 on (``machine/immortal.py``).

What is left is spread thinly: whatever Python looks at it counts a reference to, and a worker looks at something on a
third of all pages.  ``bench/start.py`` shows how much of it is a fork's, gevent's and ours.

Of no use, as measured: giving freed memory back before the fork (``malloc_trim``), filling the holes in Python's
arenas, looking up every attribute once or forgetting all of them (the cache of types), freezing in the primary.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from ...machine.frozen import freeze

if TYPE_CHECKING:
    from ...base.log import Log
    from ..gunicorn_types import Settings

__all__ = ["hold_collector", "is_of_ours", "keep_shared", "keep_uncounted", "prepare_for_workers", "release_collector"]


if TYPE_CHECKING:

    class WorkerKind(Protocol):
        """A worker class of ours."""

        def prepare(self, cfg: Settings, log: Log) -> None:
            """Import what every worker needs, and say what cannot go well; a method of the class."""


class _ThisProcess:
    collected = True


def is_of_ours(worker_class: object) -> bool:
    """Whether workers of a class are members of a cluster; a reload may bring another one."""
    return bool(getattr(worker_class, "is_cluster_worker", False))


def prepare_for_workers(kind: WorkerKind, cfg: Settings, log: Log) -> None:
    """In the primary, before the first fork: import what every worker needs, find out what every worker would."""
    kind.prepare(cfg, log)
    with suppress(ImportError):  # which random.seed() imports; before Python 3.12 there is none
        import_module("_sha2")
    isinstance(0, Mapping)  # logging asks that for a worker's first line: Python remembers the answer, which is dear
    gc.collect()


def keep_uncounted() -> None:
    """In the primary, once, after all imports and before the first fork: count no references to what is loaded."""
    if sys.version_info >= (3, 12):
        from ...machine.immortal import make_immortal

        counted = getattr(sys.modules.get("ssl"), "SSLContext", None)  # by gevent_runtime/patching.py
        make_immortal(counted)


def hold_collector() -> None:
    """In the primary: no collection from here on, the next thing is a fork."""
    _ThisProcess.collected = gc.isenabled()
    gc.disable()


def keep_shared() -> None:
    """In the child: never look again at what it was born with."""
    freeze()
    release_collector()


def release_collector() -> None:
    """On either side, after the fork: collect as before."""
    if _ThisProcess.collected:
        gc.enable()
