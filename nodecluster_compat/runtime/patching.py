"""Makes a worker cooperative after its primary has imported things.

A script's primary is not patched (its loop must not be gevent's), so a module that it imported may hold the blocking
original of something that gevent replaces: ``from time import sleep``, ``from ssl import SSLContext``.  After the
usual patch those names are bound to the replacements as well.  What no rebinding reaches: subclasses made before, and
objects.

Two things that gevent does while it patches cost more than all the rest of a worker's start:

* before and after each of its dozen steps it asks all installed distributions for plug-ins that want to hear of it.
  What is installed is looked up once, in the primary; plug-ins are told as ever;
* it takes every object into a list, to find locks that are held, and so gets a copy of every page of memory.  Objects
  that are frozen (``_gunicorn/copy_on_write.py``) are not in that list, and of the locks that it can find only those of
  imports exist, which are found here by their registry.  Its warnings about ``ssl`` need all objects, but only read
  them: for those they are shown.
"""

from __future__ import annotations

import gc
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import _bootstrap, metadata
from types import ModuleType
from typing import Any

from gevent import events, monkey

__all__ = ["look_for_plugins", "patch_worker", "patching"]


class _Plugins:
    found: Any = None


def look_for_plugins() -> None:
    """In the primary: find out what is installed."""
    _Plugins.found = metadata.entry_points()


@contextmanager
def patching() -> Iterator[None]:
    """Around ``monkey.patch_all()``, in a worker that was forked and has done nothing else yet."""
    with _known_plugins(), _frozen():
        yield
    _own_import_locks()


@contextmanager
def _known_plugins() -> Iterator[None]:
    original: Any = metadata.entry_points
    if _Plugins.found is not None:
        metadata.entry_points = _Plugins.found.select
    try:
        yield
    finally:
        metadata.entry_points = original


@contextmanager
def _frozen() -> Iterator[None]:
    """Keep frozen what is, but show it to gevent's look for modules that hold what ``ssl`` had."""
    collects, frozen = gc.isenabled(), gc.get_freeze_count() > 0
    gc.disable()
    events.subscribers.append(_show_all)
    try:
        yield
    finally:
        events.subscribers.remove(_show_all)
        if frozen:
            gc.freeze()
        if collects:
            gc.enable()


def _show_all(event: Any) -> None:
    if isinstance(event, events.GeventWillPatchModuleEvent) and event.module_name == "ssl":
        gc.unfreeze()


def _own_import_locks() -> None:
    """Let imports that were under way at the fork end: their locks know threads by another number now."""
    for reference in list(_bootstrap._module_locks.values()):  # type: ignore[attr-defined]
        lock = reference()
        if lock is not None and lock.owner is not None:
            lock.owner = threading.get_ident()


def patch_worker() -> None:
    """Patch this process with gevent, whatever it has imported before."""
    with warnings.catch_warnings(), patching():
        # gevent warns of a module that holds the unpatched SSLContext; it is rebound right below.
        warnings.simplefilter("ignore", monkey.MonkeyPatchWarning)
        monkey.patch_all()
    replacements = _replacements()
    for name, module in list(sys.modules.items()):
        if not name.startswith(("gevent", "nodecluster_compat", "greenlet")):
            _rebind(module, replacements)


def _replacements() -> dict[int, tuple[Any, Any]]:
    """The originals that gevent replaced, by identity, and what it replaced them with."""
    found: dict[int, tuple[Any, Any]] = {}
    for module_name, originals in monkey.saved.items():
        module = sys.modules.get(module_name)
        for name, original in originals.items():
            replacement = getattr(module, name, None)
            if callable(original) and callable(replacement) and replacement is not original:
                found[id(original)] = (original, replacement)
    return found


def _rebind(module: ModuleType, replacements: dict[int, tuple[Any, Any]]) -> None:
    if module.__name__ in monkey.saved or module.__name__.startswith("_"):
        return  # gevent has been here, or the originals live here
    for name, value in list(vars(module).items()):
        entry = replacements.get(id(value))
        if entry is not None and entry[0] is value:
            setattr(module, name, entry[1])
