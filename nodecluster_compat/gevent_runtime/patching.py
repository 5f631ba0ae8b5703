"""Make a worker cooperative after its primary has imported things.

A script's primary is not patched (its loop must not be gevent's), so a module that it imported may hold the blocking
original of something that gevent replaces: ``from time import sleep``, ``from ssl import SSLContext``.  After the
usual patch those names are bound to the replacements as well.  What no rebinding reaches: subclasses made before, and
objects.

Three things that gevent does while it patches cost more than all the rest of a worker's start:

* before and after each of its dozen steps it asks all installed distributions for plug-ins that want to hear of it.
  Who they are is looked up once, in the primary or in the template that it was forked from; they are told as ever;
* it takes every object into a list, to find locks that are held, and so gets a copy of every page of memory.  Objects
  that are frozen (``copy_on_write``) are not in that list, and of the locks that it can find only those of
  imports exist, which are found here by their registry;
* it looks through all objects for those that hold the unpatched ``SSLContext``, to warn of them.  The primary has
  looked; while there are as many references as there were then, and none to warn of, frozen objects stay out of this
  as well.  Otherwise they are shown.

It also imports modules, some of them late.  They are imported in the primary, by the names that :func:`late_imports`
returns: ``concurrent.futures.thread`` only if gevent replaces the lock that this module makes when it is imported,
because an unpatched one stops every greenlet as soon as two of them submit work.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import _bootstrap, import_module, metadata
from types import MappingProxyType, ModuleType
from typing import Any, Final

from gevent import events, monkey

from .multiprocessing_waits import make_multiprocessing_cooperative

__all__ = ["find_plugins", "late_imports", "patch_worker", "patching", "prepare_patching"]

_THREAD_PATCHER: Final = f"gevent.monkey._patch_thread_{'gte' if sys.version_info >= (3, 13) else 'lt'}313"
_ENTRY_POINTS: Final = "gevent.plugins."
_OWN_MODULES: Final = ("ssl", "gevent.ssl")


class _ThisProcess:
    """What the primary has found out."""

    plugins: Mapping[str, tuple[Any, ...]] = MappingProxyType({})
    in_folders: dict[tuple[str, int], tuple[metadata.EntryPoint, ...]] = {}  # noqa: RUF012 - of the process
    references = -1  # to SSLContext, when there was nothing to warn of; -1: there was, or nobody has looked


def late_imports() -> tuple[str, ...]:
    """Return the modules that gevent imports when it patches, as far as they may be imported before."""
    names = ["_threading_local", "pprint"]
    try:
        patcher = import_module(_THREAD_PATCHER)
    except ImportError:  # older versions of gevent
        return tuple(names)
    common = sys.modules.get("gevent.monkey._patch_thread_common", patcher)
    if hasattr(common, "_patch_global_shutdown_lock"):
        names.append("concurrent.futures.thread")
    return tuple(names)


class _LoadedPlugin:
    """An entry point whose module is there."""

    def __init__(self, subscriber: object) -> None:
        self.load = lambda: subscriber


def prepare_patching() -> None:
    """In the primary: find out what is installed, and whether anybody holds what gevent warns of."""
    found = find_plugins()
    names = {getattr(event, "ENTRY_POINT_NAME", None) for event in vars(events).values()}
    _ThisProcess.plugins = {
        name: tuple(_loaded(one) for one in found if one.group == name) for name in names if isinstance(name, str)
    }
    context = getattr(sys.modules.get("ssl"), "SSLContext", None)
    _ThisProcess.references = -1 if context is None or _is_held(context) else sys.getrefcount(context)


def find_plugins() -> list[metadata.EntryPoint]:
    """Return the entry points of distributions with plug-ins of gevent; a folder is read once, until it changes."""
    return list(dict.fromkeys(entry for folder in sys.path for entry in _plugins_in(folder)))


def _plugins_in(folder: str) -> tuple[metadata.EntryPoint, ...]:
    try:
        state = (os.path.abspath(folder), os.stat(folder or ".").st_mtime_ns)
    except OSError:
        return ()
    if state not in _ThisProcess.in_folders:
        _ThisProcess.in_folders[state] = tuple(_installed_plugins(folder))
    return _ThisProcess.in_folders[state]


def _installed_plugins(folder: str) -> Iterator[metadata.EntryPoint]:
    """Find them by the text: parsing the entry points of all distributions takes twice as long."""
    for one in metadata.distributions(path=[folder]):
        if _ENTRY_POINTS in (one.read_text("entry_points.txt") or ""):
            yield from one.entry_points


def _loaded(plugin: metadata.EntryPoint) -> metadata.EntryPoint | _LoadedPlugin:
    """Return ``plugin``, loaded when that imports nothing: its module may want to find everything patched."""
    return _LoadedPlugin(plugin.load()) if getattr(plugin, "module", None) in sys.modules else plugin


def _is_held(context: type) -> bool:
    """Whether a module has ``context`` in its names, or a class of somebody else's derives from it."""
    for holder in gc.get_referrers(context):
        if isinstance(holder, dict):
            if holder.get("__name__", "ssl") not in _OWN_MODULES:
                return True
        elif isinstance(holder, type) and not holder.__module__.startswith("gevent."):
            return True
    return False


@contextmanager
def patching() -> Iterator[None]:
    """Around ``monkey.patch_all()``, in a worker that was forked and has done nothing else yet."""
    with _known_plugins(), _frozen():
        yield
    _own_import_locks()
    make_multiprocessing_cooperative()


@contextmanager
def _known_plugins() -> Iterator[None]:
    original: Any = metadata.entry_points

    def entry_points(**wanted: str) -> object:
        found = _ThisProcess.plugins.get(wanted.get("group", "")) if len(wanted) == 1 else None
        return original(**wanted) if found is None else found

    metadata.entry_points = entry_points  # type: ignore[assignment]  # which has overloads
    try:
        yield
    finally:
        metadata.entry_points = original


@contextmanager
def _frozen() -> Iterator[None]:
    """Keep frozen what is, but show it to gevent's look for modules that hold what ``ssl`` had."""
    collects = gc.isenabled()
    gc.disable()
    shown = []

    def show_all(event: object) -> None:
        if isinstance(event, events.GeventWillPatchModuleEvent) and event.module_name == "ssl":
            context = getattr(event.target, "SSLContext", None)
            if sys.getrefcount(context) != _ThisProcess.references:
                gc.unfreeze()
                shown.append(True)

    events.subscribers.append(show_all)
    try:
        yield
    finally:
        events.subscribers.remove(show_all)
        if shown:
            gc.freeze()
        if collects:
            gc.enable()


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
