"""Carry out the commands of ``gunicornc``, by gunicorn's own handlers."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ...machine.background import Background
from .seat import Seat

if TYPE_CHECKING:
    from .control_client import Answer

__all__ = ["ControlCommands"]


class ControlCommands:
    """Says what a command gives.

    Those that ask the dirty arbiter, which may take seconds to answer, are carried out in the background; all others on
    the spot, where what they read and change is the arbiter's own.
    """

    def __init__(self, arbiter: Seat) -> None:
        self._arbiter = arbiter
        self._background = Background(self._failed)
        self._server: Any = None

    def carry_out(self, message: dict[str, Any], answer: Answer) -> None:
        """Carry a command out.

        Args:
            message: as gunicorn's client sends it: ``id``, ``command``, ``args``.
            answer: called with what gunicorn would answer; later, if it takes time.
        """
        try:
            parts = [*shlex.split(message.get("command", "")), *map(str, message.get("args") or ())]
            if not parts:
                raise ValueError("Empty command")
            execute = partial(self._gunicorns_server()._execute_command, parts)
        except Exception as error:  # noqa: BLE001 - whatever a client sends
            answer(_refusal(message, error))
            return
        if self._asks_dirty_arbiter(parts):
            job = partial(self._execute_elsewhere, message, execute, answer)
            self._background.do(f"control {id(answer)}", job)
        else:
            answer(self._outcome(message, execute))

    def abandon(self) -> None:
        """In a forked child: nothing is carried out here."""
        self._background.abandon()

    def _gunicorns_server(self) -> Any:  # noqa: ANN401 - gunicorn has no type hints
        """Return gunicorn's server, which was never started and is asked for its commands only.

        Imported when somebody asks, because asyncio comes with it.
        """
        if self._server is None:
            from gunicorn.ctl.handlers import CommandHandlers
            from gunicorn.ctl.server import ControlSocketServer

            self._server = ControlSocketServer.__new__(ControlSocketServer)
            self._server.arbiter = self._arbiter
            self._server.handlers = CommandHandlers(self._arbiter)
        return self._server

    def _asks_dirty_arbiter(self, parts: list[str]) -> bool:
        words = [part.lower() for part in parts[:2]]
        return bool(getattr(self._arbiter, "dirty_arbiter_pid", 0)) and (
            words[0] == "dirty" or words == ["show", "all"]
        )

    def _execute_elsewhere(self, message: dict[str, Any], execute: Callable[[], Any], answer: Answer) -> None:
        try:
            data, failed = execute(), None
        except Exception as error:  # noqa: BLE001 - told to the client
            data, failed = None, error
        self._arbiter.loop.call_soon_threadsafe(lambda: answer(self._outcome(message, partial(_given, data, failed))))

    def _outcome(self, message: dict[str, Any], execute: Callable[[], Any]) -> dict[str, Any]:
        try:
            return {"id": message.get("id", 0), "status": "ok", "data": execute() or {}}
        except ValueError as error:
            return _refusal(message, error)
        except Exception as error:
            self._arbiter.log.exception("Command error")
            return _refusal(message, error)

    def _failed(self, error: BaseException) -> None:
        log = self._arbiter.log
        self._arbiter.loop.call_soon_threadsafe(partial(log.error, "A control command failed", exc_info=error))


def _given(data: object, error: Exception | None) -> object:
    if error is not None:
        raise error
    return data


def _refusal(message: dict[str, Any], error: Exception) -> dict[str, Any]:
    """Return gunicorn's answer to a command that cannot be carried out."""
    text = str(error)
    if text != "Empty command":
        text = f"{'Invalid argument' if isinstance(error, ValueError) else 'Command failed'}: {text}"
    return {"id": message.get("id", 0), "status": "error", "error": text}
