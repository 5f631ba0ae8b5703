"""Log a repeated problem once, until it changes or is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Complaint"]


class Complaint:
    """One thing that is tried until it succeeds.

    Args:
        log: where its troubles are logged: ``log.warning`` and the like.
    """

    def __init__(self, log: Callable[..., Any]) -> None:
        self._log = log
        self._said: str | None = None

    def say(self, trouble: str) -> None:
        """It has not succeeded; nothing is logged while the trouble is the same."""
        if trouble != self._said:
            self._said = trouble
            self._log("%s", trouble)

    def withdraw(self) -> None:
        """It has succeeded: the next trouble is a new one."""
        self._said = None
