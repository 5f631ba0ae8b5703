"""End a script's worker as Python ends a program, although it runs far up the stack of the primary's script.

Unwinding that stack would run the ``finally`` blocks of the primary.  ``Py_Exit`` ends the interpreter where it is:
threads, ``atexit``, streams, then every module and what it holds.  Names in the frames below are left as they are.

What the primary has registered for its own end is not the worker's: ``atexit`` functions, ``weakref.finalize``, the
children of ``multiprocessing``.
"""

from __future__ import annotations

import atexit
import ctypes
import logging
import os
import sys
import threading
import weakref
from typing import Any, Final, NoReturn

from gevent import Timeout
from gevent.exceptions import LoopExit

from ...machine.last_words import renew_last_words
from ..arbiter.finalisation import finalise_as_python_does

__all__ = ["end_as_python_does", "forget_inherited_endings"]

_THREAD_SECONDS: Final = 1.0
_log = logging.getLogger("gunicorn.error")


def forget_inherited_endings() -> None:
    """In a worker that has just been forked: what the primary does at its end is not done at this one's."""
    atexit._clear()
    finalizers: Any = weakref.finalize
    for finalizer in list(finalizers._registry):
        finalizer.detach()
    finalizers._registered_with_atexit = False  # the next one registers again
    atexit.register(logging.shutdown)
    finalise_as_python_does()
    if "multiprocessing.util" in sys.modules:
        _forget_children()


def end_as_python_does(code: int) -> NoReturn:
    """End this process here and now with ``code``."""
    renew_last_words()
    try:
        _end_threads()
    finally:
        ctypes.pythonapi.Py_Exit(code & 0xFF)
    raise AssertionError("Py_Exit returned")


def _end_threads() -> None:
    """Let threads end, and thread pools finish their jobs: for a moment, as ``process.exit()`` waits for nothing."""
    with Timeout(_THREAD_SECONDS, False):
        try:
            threading._shutdown()  # type: ignore[attr-defined]
        except LoopExit:
            pass
        else:
            return
    names = sorted(thread.name for thread in threading.enumerate() if not thread.daemon and thread is not _main())
    _log.warning("Worker (pid:%s) ends although threads have not: %s", os.getpid(), ", ".join(names))
    threading._shutdown = lambda: None  # type: ignore[attr-defined]


def _main() -> threading.Thread:
    return threading.main_thread()


def _forget_children() -> None:
    from multiprocessing import process, util

    children: Any = process
    children._children.clear()
    finalizers: Any = util
    finalizers._finalizer_registry.clear()
    atexit.register(finalizers._exit_function)
