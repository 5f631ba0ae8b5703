"""End a worker as Python ends a program, without taking the libraries apart.

A worker runs far up the stack of its primary.  Unwinding that would run the ``finally`` blocks of whoever has started
the server, and the end of the interpreter would then take every module apart: gevent's, gunicorn's, the standard
library's, ten times as much as what the application holds, page by page of memory that the processes share.  So a
worker ends where it is, in the order of ``Py_FinalizeEx``:

1. threads that are no daemons end, with them the jobs of thread pools;
2. the functions of ``atexit`` run, the last registered first; the last of all lets go of the application
   (``finalisation``);
3. streams are flushed;
4. modules are taken away and cleared, the last imported first, and what nobody refers to any more is collected.  Not
   modules of Python's and of what serves here: they hold nothing to be finalised;
5. streams are flushed again, and the process ends.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any, Final, NoReturn

from ...machine.last_words import renew_last_words

__all__ = ["end_worker"]

_SERVING: Final = frozenset(
    {
        "_cffi_backend",
        "_distutils_hack",
        "cffi",
        "gevent",
        "greenlet",
        "gunicorn",
        "gunicorn_h1c",
        "h2",
        "hpack",
        "hyperframe",
        "msgspec",
        "nodecluster_compat",
        "packaging",
        "pyee",
        "pytest_cluster",
        "setproctitle",
        "typing_extensions",
        "zope",
    }
)
_KEPT: Final = "__builtins__"  # as Python keeps it in a module that it clears


def end_worker(
    code: int,
    holders: Iterable[object] = (),
    *,
    wait_for_threads: Callable[[], None] | None = None,
) -> NoReturn:
    """End this process here and now.

    Args:
        code: its exit code; the lowest eight bits count.
        holders: objects of the server that refer to the application, and are of no further use.
        wait_for_threads: instead of Python's own wait, which has no limit.
    """
    renew_last_words()
    with _told():
        (wait_for_threads or threading._shutdown)()  # type: ignore[attr-defined]
    with _told():
        atexit._run_exitfuncs()
    _flush()
    with _told():
        _finalise(holders)
    _flush()
    os._exit(code & 0xFF)


def _finalise(holders: Iterable[object]) -> None:
    for holder in holders:
        vars(holder).clear()
    for names in reversed(_take_modules_away()):
        _clear(names)
    gc.unfreeze()  # the application was put out of the collector's sight when it was loaded
    gc.collect()


def _take_modules_away() -> list[dict[str, Any]]:
    """Return what modules held that can no longer be imported, in the order in which they were imported."""
    known: dict[str, Any] = dict(sys.modules)
    taken = []
    for name, module in known.items():
        if isinstance(module, ModuleType) and not _is_kept(name):
            sys.modules[name] = None  # type: ignore[assignment] # importing it fails, as at the end of the interpreter
            taken.append(module.__dict__)
    return taken


def _is_kept(name: str) -> bool:
    root = name.partition(".")[0]
    return root in sys.stdlib_module_names or root in _SERVING or "cython" in root


def _clear(names: dict[str, Any]) -> None:
    """Forget what a module holds, in Python's order: names with one underscore first."""
    for private in (True, False):
        for name in list(names):
            if (name[:1] == "_" and name[1:2] != "_") is private and name != _KEPT:
                names[name] = None


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Print what is raised, and go on: nothing stops the end of a process."""
    try:
        yield
    except BaseException:  # noqa: BLE001 - as Python's own end
        with contextlib.suppress(Exception):
            traceback.print_exc()
