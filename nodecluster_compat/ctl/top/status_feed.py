"""Ask the server on a thread of its own, so that keys are heard while it does not answer."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from ..client import ControlClient, NoServer, Refused
from .session import Ask

__all__ = ["Answered", "Lost", "Status", "StatusFeed"]

PATIENCE: Final = 5.0
"""Seconds that an answer may take, before it is said that there is none."""

ASK_PATIENCE: Final = 30.0
_AGAIN_SECONDS: Final = 1.0
_MOST_WAITING: Final = 4

Status: TypeAlias = dict[str, Any]


class Lost(str):
    """Why there is no status."""

    __slots__ = ()


Answered: TypeAlias = "tuple[Ask, dict[str, Any] | Refused]"
Told: TypeAlias = "Status | Lost | Answered"


class StatusFeed:
    """Asks a server for its status again and again, and for what somebody asks in between.

    Args:
        server: a connection, which is this one's from now on.
        interval: seconds from one status to the next.
        wake: called when there is something new.
    """

    def __init__(self, server: ControlClient, interval: float, wake: Callable[[], None]) -> None:
        self._server: ControlClient | None = server
        self._place = server.path, server.known_by
        self._interval = interval
        self._wake = wake
        self._asks: queue.Queue[Ask | None] = queue.Queue(_MOST_WAITING)
        self._told: queue.SimpleQueue[Told] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def ask(self, ask: Ask) -> bool:
        """Ask something; return whether it will be, which it is not while much is being asked."""
        try:
            self._asks.put_nowait(ask)
        except queue.Full:
            return False
        return True

    def news(self) -> list[Told]:
        """Return what has come since the last time."""
        return [self._told.get_nowait() for _ in range(self._told.qsize())]

    # --- on the thread ---------------------------------------------------------------------------------

    def _run(self) -> None:
        due = time.monotonic()
        while True:
            try:
                ask = self._asks.get(timeout=max(due - time.monotonic(), 0.0))
            except queue.Empty:
                ask = None
            told = self._carried_out(ask)
            if ask is None or isinstance(told, Lost):
                due = time.monotonic() + (_AGAIN_SECONDS if isinstance(told, Lost) else self._interval)
            self._told.put(told)
            self._wake()

    def _carried_out(self, ask: Ask | None) -> Told:
        try:
            if self._server is None:
                self._server = ControlClient(*self._place, timeout=PATIENCE)
            if ask is None:
                return self._server.ask("cluster status", timeout=PATIENCE)
            return ask, self._answer_to(self._server, ask)
        except NoServer as error:
            if self._server is not None:
                self._server.close()  # an answer that comes late is to another question
                self._server = None
            return Lost(f"{error}; trying again") if ask is None else (ask, Refused(str(error)))

    @staticmethod
    def _answer_to(server: ControlClient, ask: Ask) -> dict[str, Any] | Refused:
        try:
            return server.ask(*ask.words, timeout=ASK_PATIENCE)
        except Refused as error:
            return error
