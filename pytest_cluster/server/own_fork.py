"""Fork a server from pytest's own process, with the application as an object: made in a fixture, closed over, patched.

The child is what pytest is at that moment, but for what it must not share:

- every descriptor but the server's own leads to ``/dev/null`` at its number, so that what still refers to it closes
  nothing of somebody else's: sockets, databases, the files that pytest captures in;
- no thread is there but this one, no signal is handled, no warning is an error, nothing is registered for the exit;
- Django's connections are new ones.  (SQLAlchemy, redis-py and psycopg's pools see another pid, and connect anew.)

It runs gunicorn as its command would, and never comes back into pytest.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import runpy
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Mapping
from typing import Any, NoReturn

from .forked import ForkedProcess

__all__ = ["fork_here"]

INITIAL_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ)
"""Which Python ignores from its start."""


def fork_here(
    command: list[str], *, folder: str, environment: Mapping[str, str], log: int, passed: int
) -> ForkedProcess:
    """Fork a server from this process, in a session of its own, and return it.

    :param command: ``python -m program arguments``.
    :param log: the descriptor for what it prints.
    :param passed: a descriptor that it inherits.
    :raises OSError: it cannot be forked.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of 3.12: there are threads, and the child has none
        pid = os.fork()
    if not pid:
        _serve(command, folder, environment, log, passed)
    return ForkedProcess(command, pid, _status_of)


def _status_of(pid: int) -> int | None:
    with contextlib.suppress(ChildProcessError):
        ended, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status) if ended else None
    return None


def _serve(command: list[str], folder: str, environment: Mapping[str, str], log: int, passed: int) -> NoReturn:
    """Be the server, in the child; whatever happens, do not go back."""
    code = 1
    try:
        os.setsid()
        _let_go_of_descriptors(log, passed)
        _begin_anew(folder, environment)
        _forget_connections()
        code = _run(command)
    except BaseException:  # noqa: BLE001 - pytest's frames are below, and must not go on in this process
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _let_go_of_descriptors(log: int, passed: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in (passed, nothing):
            with contextlib.suppress(OSError):  # that of the folder itself
                os.fstat(int(name))
                os.dup2(nothing, int(name), inheritable=False)
    os.set_inheritable(passed, True)


def _begin_anew(folder: str, environment: Mapping[str, str]) -> None:
    """Be as a process is when it begins, as far as the application cannot have wanted it otherwise."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN if number in INITIAL_SIGNALS else signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # type: ignore[misc]  # noqa: SIM115
    sys.stdout = sys.__stdout__ = open(1, "w", buffering=1, closefd=False)  # type: ignore[misc]  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", buffering=1, closefd=False)  # type: ignore[misc]  # noqa: SIM115
    # pytest rewrites the modules of its plugins' packages, which ours is: slow, and nobody asserts anything here.
    sys.meta_path[:] = [one for one in sys.meta_path if not type(one).__module__.startswith("_pytest.")]
    sys.settrace(None)
    threading.settrace(None)
    warnings.resetwarnings()
    atexit._clear()
    root = logging.getLogger()
    for handler in [one for one in root.handlers if type(one).__module__.startswith("_pytest.")]:
        root.removeHandler(handler)


def _forget_connections() -> None:
    """Let Django connect anew: its connections belong to pytest, and so do the transactions on them."""
    if "django.db" in sys.modules:
        connections: Any = sys.modules["django.db"].connections
        for one in connections.all(initialized_only=True):
            del connections[one.alias]


def _run(command: list[str]) -> int:
    """Run ``python -m program``; return the exit code."""
    program, *arguments = command[2:]
    sys.argv[:] = [program, *arguments]
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        runpy.run_module(program, run_name="__main__", alter_sys=False)
        code: object = 0
    except SystemExit as end:
        code = end.code
    atexit._run_exitfuncs()
    if isinstance(code, int | None):
        return code or 0
    sys.stderr.write(f"{code}\n")
    return 1
