"""Gather the answers of several processes: who must answer is fixed at the beginning.  Pure: no sockets, no clock.

begin ──answered, failed, gone (for each)──▶ … ──the last one──▶ done, once
  └──────────────────── expire ──────────────────────────────────▶ done, with the rest missing
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Raw

from .outcomes import MOST_GATHERED_BYTES, Answer, Failure, Gathered, Missing, size_of, too_large

__all__ = ["Gathering"]

_MOST_REASON: Final = 4096


class Gathering:
    """The answers to one call.

    Args:
        expected: the ids of those who must answer.
        done: told once, with what came and who is missing.
        most: bytes that the answers may have together; who answers more is missing.
    """

    def __init__(
        self, expected: Iterable[int], done: Callable[[Gathered], None], most: int = MOST_GATHERED_BYTES
    ) -> None:
        self._waiting = dict.fromkeys(expected)
        self._left = most
        self._answers: list[Answer] = []
        self._missing: list[Missing] = []
        self._done: Callable[[Gathered], None] | None = done

    def begin(self) -> None:
        """Everybody was asked: where nobody must answer, that is all."""
        self._look()

    def answered(self, worker: int, value: bytes | bytearray) -> None:
        """Note an answer; a second one, or one of a process that was not asked, is ignored."""
        size = size_of(value)
        if size > self._left:
            self.failed(worker, too_large(worker, size))
        elif worker in self._waiting:
            del self._waiting[worker]
            self._left -= size
            self._answers.append(Answer(worker, Raw(bytes(value))))
            self._look()

    def failed(self, worker: int, failure: Failure) -> None:
        """Note that one will not answer."""
        if worker in self._waiting:
            del self._waiting[worker]
            self._missing.append(Missing(worker, failure.cause, failure.reason[:_MOST_REASON]))
            self._look()

    def expire(self) -> None:
        """The time is over."""
        late = [Missing(worker, "late", f"worker {worker} did not reply in time") for worker in self._waiting]
        self._missing += late
        self._waiting.clear()
        self._look()

    def _look(self) -> None:
        if not self._waiting and self._done is not None:
            done, self._done = self._done, None
            done(Gathered(self._answers, self._missing))
