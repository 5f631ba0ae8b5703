"""Share memory between primary and workers (copy-on-write), so that a worker starts fast and takes little.

Theory of operation
-------------------
After a fork parent and child share every page that neither writes to.  Three things write to many of them for nothing:

* importing: what every worker would import after the fork is imported once, before it.  Imported, not used: no hub is
  made and nothing is patched in the primary (``tests/integration/test_start.py``), and the application is not among it;
* finding out what is the same in every worker: that is found out once as well (``runtime/patching.py``,
  ``clean_requests.py``), and a worker that has other settings by then finds it out anew;
* the garbage collector, which marks every object that it looks at.  The child freezes what it is born with, so its
  collections see what it makes itself.  Frozen in the child and not in the parent, where handles of workers that are
  gone would otherwise stay for ever.  In between no collection may run, so it is off during the fork.

What is left is spread thinly: whatever Python looks at it counts a reference to, and a worker looks at something on a
third of all pages.  ``bench/start.py`` shows how much of it is a fork's, gevent's and ours.

Rejected: patching before the fork (the primary's loop would be gevent's), and a template process that is patched and
forks the workers (what a hook does in the primary would not be seen in a worker).  Of no use, as measured: giving
freed memory back before the fork (``malloc_trim``), filling the holes in Python's arenas, looking up every attribute
once or forgetting all of them (the cache of types), freezing in the primary.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Final

from ...runtime.patching import late_imports, prepare_patching
from ..requests.clean_requests import prepare_clean_requests

if TYPE_CHECKING:
    from ..gunicorn_types import Settings

__all__ = ["hold_collector", "keep_shared", "prepare_for_workers", "release_collector"]

_FOR_WORKERS: Final = (
    "_sha2",  # by random.seed()
    "gevent.events",
    "gevent.local",
    "gevent.select",
    "gevent.selectors",
    "gevent.signal",
    "gevent.subprocess",
    "gevent.thread",
    "gevent.threading",
    "gevent.time",
    "gunicorn_h1c",
)


class _ThisProcess:
    collected = True


def prepare_for_workers(cfg: Settings) -> None:
    """In the primary, before the first fork: import what every worker needs, find out what every worker would."""
    for name in (*_FOR_WORKERS, *late_imports()):
        with suppress(ImportError):  # the C parser is optional, _sha2 younger than Python 3.11
            import_module(name)
    prepare_patching()
    prepare_clean_requests(cfg)
    isinstance(0, Mapping)  # logging asks it about the pid in a worker's first line, and Python asks a dozen classes
    gc.collect()


def hold_collector() -> None:
    """In the primary: no collection from here on, the next thing is a fork."""
    _ThisProcess.collected = gc.isenabled()
    gc.disable()


def keep_shared() -> None:
    """In the child: never look again at what it was born with."""
    gc.freeze()
    release_collector()


def release_collector() -> None:
    """On either side, after the fork: collect as before."""
    if _ThisProcess.collected:
        gc.enable()
