"""Carry out what a client of the control socket commands: ``cluster …`` by our orders, all else as gunicorn does."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from ...errors import OrderRefused
from ...machine.background import Background
from ...operations.control_frames import encode_answer, encode_refusal
from .stock_commands import StockCommands

if TYPE_CHECKING:
    from ...operations.control_frames import Frame
    from ...operations.door import Answer
    from ...operations.orders import Orders
    from ..gunicorn_types import GunicornWorker
    from .seat import Seat

__all__ = ["ControlCommands"]

_EMPTY = "Empty command"
_MOST_QUEUED: Final = 8  # of which each may take as long as gunicorn waits for the dirty arbiter
_PATIENCE: Final = 30.0  # of a client: nobody waits for the answer any more


if TYPE_CHECKING:

    class _Seat(Seat, Protocol):
        """The arbiter, which is commanded."""

        WORKERS: dict[int, GunicornWorker]

        def handle_usr1(self) -> None:
            """Open the log files again."""

        def reopen_own_logs(self) -> None:
            """Open the log files of this process again, and tell nobody."""


class ControlCommands:
    """Says what a command gives.

    Those that ask the dirty arbiter, which may take seconds to answer, are carried out in the background; all others on
    the spot, where what they read and change is the arbiter's own.

    Args:
        arbiter: who is commanded.
        orders: the ``cluster`` commands.
    """

    def __init__(self, arbiter: _Seat, orders: Orders) -> None:
        self._arbiter = arbiter
        self._orders = orders
        self._stock = StockCommands(arbiter)
        self._background = Background(self._failed)
        self._queued = self._number = 0

    def carry_out(self, frame: Frame, answer: Answer) -> None:
        """Carry a command out.

        Args:
            frame: as gunicorn's client sends it.
            answer: called with the encoded answer; later, if it takes time.
        """
        try:
            words = [*shlex.split(frame.command), *frame.args]
            if not words:
                raise ValueError(_EMPTY)
            self._begin(frame, words, answer)
        except Exception as error:  # noqa: BLE001 - whatever a client sends
            answer(self._refusal(frame, error))

    def abandon(self) -> None:
        """In a forked child: nothing is carried out here."""
        self._background.abandon()

    def _begin(self, frame: Frame, words: Sequence[str], answer: Answer) -> None:
        if words[0].lower() == "cluster":
            self._orders.carry_out(words[1:], partial(self._told, frame, answer))
        elif self._asks_dirty_arbiter(words):
            self._queue(frame, words, answer)
        else:
            answer(self._outcome(frame, partial(self._execute, words)))

    def _queue(self, frame: Frame, words: Sequence[str], answer: Answer) -> None:
        """Carry it out in the background, behind the others that ask the dirty arbiter; not many, and not too late.

        Raises:
            ValueError: enough wait for it.
        """
        if self._queued >= _MOST_QUEUED:
            self._background.flush(0.0)  # they may wait for a thread
            raise ValueError(f"{_MOST_QUEUED} commands wait for the dirty arbiter already, which does not answer")
        self._queued += 1
        self._number += 1
        late = time.monotonic() + _PATIENCE
        self._background.do(str(self._number), partial(self._execute_elsewhere, frame, words, answer, late))

    def _told(self, frame: Frame, answer: Answer, said: Mapping[str, Any] | OrderRefused) -> None:
        if isinstance(said, OrderRefused):
            answer(self._refusal(frame, said))
        else:
            answer(encode_answer(frame.id, said))

    def _execute(self, words: Sequence[str]) -> dict[str, Any]:
        data = self._stock.execute(words)
        if words[0].lower() == "help":
            data = {**data, "commands": {**data["commands"], **self._orders.helps}}
        return data

    def _asks_dirty_arbiter(self, words: Sequence[str]) -> bool:
        first = [word.lower() for word in words[:2]]
        return bool(getattr(self._arbiter, "dirty_arbiter_pid", 0)) and (
            first[0] == "dirty" or first == ["show", "all"]
        )

    def _execute_elsewhere(self, frame: Frame, words: Sequence[str], answer: Answer, late: float) -> None:
        try:
            if time.monotonic() > late:
                raise ValueError("the dirty arbiter has not answered others in time: this was not carried out")
            data, failed = self._execute(words), None
        except Exception as error:  # noqa: BLE001 - told to the client
            data, failed = {}, error
        tell = partial(self._outcome, frame, partial(_given, data, failed))
        self._arbiter.loop.call_soon_threadsafe(self._executed, answer, tell)

    def _executed(self, answer: Answer, tell: Callable[[], bytes]) -> None:
        self._queued -= 1
        answer(tell())

    def _outcome(self, frame: Frame, execute: Callable[[], Mapping[str, Any]]) -> bytes:
        try:
            return encode_answer(frame.id, execute() or {})
        except Exception as error:
            if not isinstance(error, ValueError):
                self._arbiter.log.exception("Command error")
            return self._refusal(frame, error)

    @staticmethod
    def _refusal(frame: Frame, error: Exception) -> bytes:
        """Return gunicorn's answer to a command that cannot be carried out; ours have sentences of their own."""
        text = str(error)
        if text != _EMPTY and not isinstance(error, OrderRefused):
            text = f"{'Invalid argument' if isinstance(error, ValueError) else 'Command failed'}: {text}"
        return encode_refusal(frame.id, text)

    def _failed(self, error: BaseException) -> None:
        log = self._arbiter.log
        self._arbiter.loop.call_soon_threadsafe(partial(log.error, "A control command failed", exc_info=error))


def _given(data: Mapping[str, Any], error: Exception | None) -> Mapping[str, Any]:
    if error is not None:
        raise error
    return data
