"""Carry out the commands of the stock ``gunicornc``, by gunicorn's own handlers where this gunicorn has them.

Ours is which word leads where (a table), what a script's primary does otherwise, and ``worker kill``: by the worker's
handle, so that its end is known to be asked for.
"""

from __future__ import annotations

import signal as signals
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from .steering_orders import MOST_WORKERS
from .stock_handlers import StockHandlers

if TYPE_CHECKING:
    from ..gunicorn_types import GunicornWorker
    from .seat import Seat

__all__ = ["StockCommands"]

_SHOWN: Final = ("all", "workers", "dirty", "config", "stats", "listeners")
_NOT_IN_SCRIPTS: Final = {
    "worker add": "nobody keeps a number of workers in script mode: the script forks",
    "worker remove": "nobody keeps a number of workers in script mode: the script disconnects them",
    "reload": "there is no reload in script mode: a script forks new workers and disconnects the old",
}


if TYPE_CHECKING:

    class _Seat(Seat, Protocol):
        """The arbiter, which is commanded."""

        WORKERS: dict[int, GunicornWorker]

        def handle_usr1(self) -> None:
            """Open the log files again."""

        def reopen_own_logs(self) -> None:
            """Open the log files of this process again, and tell nobody."""


class StockCommands:
    """The commands of one arbiter."""

    def __init__(self, arbiter: _Seat) -> None:
        self._arbiter = arbiter
        self._handlers: Any = None

    def execute(self, parts: Sequence[str]) -> dict[str, Any]:
        """Carry out a command.

        Args:
            parts: its words; at least one.

        Returns:
            What gunicorn would answer.

        Raises:
            ValueError: it is none, or its arguments make no sense; the sentence is gunicorn's.
        """
        name, rest = parts[0].lower(), list(parts[1:])
        if name in ("show", "worker", "dirty"):
            action = rest[0].lower() if rest else ""
            return self._execute_of(name, action, rest[1:])
        self._check_mode(name)
        if name == "reopen" and not self._arbiter.is_supervised:
            self._arbiter.reopen_own_logs()  # USR1 would end a script, and its workers
            return {"status": "reopening"}
        if name == "shutdown":
            return self._call("shutdown", rest[0] if rest else "graceful")
        if name in ("reload", "reopen", "help"):
            return self._call(name)
        raise ValueError(f"Unknown command: {name}")

    def _execute_of(self, name: str, action: str, arguments: list[str]) -> dict[str, Any]:
        actions = _SHOWN if name == "show" else ("add", "remove", "kill") if name == "worker" else ("add", "remove")
        if not action:
            what = "show target" if name == "show" else f"{name} action"
            raise ValueError(f"Missing {what} ({'|'.join(actions)})")
        if action not in actions:
            raise ValueError(f"Unknown {'show target' if name == 'show' else f'{name} action'}: {action}")
        if name == "show":
            return self._call(f"show_{action}")
        self._check_mode(f"{name} {action}")
        if action == "kill":
            return self._kill(arguments)
        count = int(arguments[0]) if arguments else 1
        if (name, action) == ("worker", "add") and self._arbiter.num_workers + count > MOST_WORKERS:
            raise ValueError(f"expected {MOST_WORKERS} workers at most in the end, got {count} more")
        return self._call(f"{name}_{action}", count)

    def _check_mode(self, command: str) -> None:
        if not self._arbiter.is_supervised and command in _NOT_IN_SCRIPTS:
            raise ValueError(_NOT_IN_SCRIPTS[command])

    def _kill(self, arguments: list[str]) -> dict[str, Any]:
        if not arguments:
            raise ValueError("Missing PID for worker kill")
        pid = int(arguments[0])
        entry = self._arbiter.roster.with_pid(pid)
        if pid not in self._arbiter.WORKERS or entry is None or entry.handle is None:
            return {"success": False, "error": f"Worker {pid} not found"}
        if not entry.handle.kill(signals.SIGTERM):
            return {"success": False, "error": "No such process"}
        return {"success": True, "killed": pid}

    def _call(self, name: str, *arguments: object) -> dict[str, Any]:
        if self._handlers is None:
            self._handlers = _handlers_of(self._arbiter)
        method: Callable[..., dict[str, Any]] = getattr(self._handlers, name)
        return method(*arguments)


def _handlers_of(arbiter: _Seat) -> Any:  # noqa: ANN401 - gunicorn has no type hints
    """Return gunicorn's handlers; imported when somebody asks, from the module that does not need asyncio."""
    try:
        from gunicorn.ctl.handlers import CommandHandlers
    except ImportError:
        return StockHandlers(arbiter)
    return CommandHandlers(arbiter)
