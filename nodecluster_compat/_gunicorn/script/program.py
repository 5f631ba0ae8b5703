"""Run a script as the primary of its cluster, and end as a program does: with its code, or of the signal that came."""

from __future__ import annotations

import os
import signal as signals
import sys
import time
import traceback
from typing import TYPE_CHECKING, Final, NoReturn

from ...base.exit_code import exit_code_of
from ...gevent_runtime.script import print_uncaught
from ...messages.writer import write_collected
from ...roles.process import process
from .arbiter import ScriptApplication, ScriptArbiter

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["run"]

_DEADLY: Final = (signals.SIGTERM, signals.SIGHUP)


def run(path: str, args: Sequence[str]) -> int:
    """Run a script as the primary of its cluster; return the exit code of this program."""
    arbiter = ScriptArbiter(ScriptApplication())
    try:
        _watch_deadly_signals()
        code = arbiter.run_script(path, args)
    except _Killed as killed:
        arbiter.close()
        _die_of(killed.number)
    except KeyboardInterrupt:
        if not arbiter.is_serving:  # in the middle of the script: where it was is worth knowing
            traceback.print_exc()
        arbiter.close()
        _die_of(signals.SIGINT)
    except SystemExit as error:
        code = exit_code_of(error)
        final = process.ended(code)
        if final == code:
            raise
        code = final
    except BaseException as error:  # noqa: BLE001 - uncaught in the script: as Python ends on it
        print_uncaught(error)
        code = 1
    finally:
        arbiter.close()
    return process.ended(code)


class _Killed(SystemExit):
    """A signal that kills by default has come: clean up, then die of it."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


def _watch_deadly_signals() -> None:
    for number in _DEADLY:
        if signals.getsignal(number) is signals.SIG_DFL:
            signals.signal(number, _die)


def _die(number: int, _: object) -> NoReturn:
    raise _Killed(number)


def _die_of(number: int) -> NoReturn:
    write_collected()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    signals.signal(number, signals.SIG_DFL)
    os.kill(os.getpid(), number)
    time.sleep(1)
    os._exit(128 + number)
