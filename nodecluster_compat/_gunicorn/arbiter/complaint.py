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
        """Log that it has not succeeded, unless the trouble is the same as before."""
        if trouble != self._said:
            self._said = trouble
            self._log("%s", trouble)

    def withdraw(self) -> None:
        """Note that it has succeeded: the next trouble is a new one."""
        self._said = None
