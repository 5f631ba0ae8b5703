"""Keep who asked other workers what, and who has not answered: no clock, no channel.

A question ends once: when every worker that was asked has answered or is gone, or when its time is over.

    begin ──answer of each──▶ ended          begin ──the rest has gone──▶ ended          begin ──expire──▶ ended, late
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import count
from typing import Any, TypeAlias

from msgspec import Struct, field

__all__ = ["Answers", "Ended", "Questions"]


class Answers(Struct):
    """The answers that have come back.

    Attributes:
        values: by the id of the worker that answered.
        failures: why a worker could not, by its id.
        missing: who has not answered in time.
        gone: who has left without an answer.
    """

    values: dict[int, Any] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    missing: frozenset[int] = frozenset()
    gone: frozenset[int] = frozenset()


Ended: TypeAlias = Callable[[Answers], None]


class _Question(Struct):
    missing: set[int]
    ended: Ended
    suffices: Callable[[Any], bool]
    answers: Answers = field(default_factory=Answers)


class Questions:
    """The questions of one manager that have not ended.  Called with one lock held."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._open: dict[int, _Question] = {}

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, asked: Collection[int], ended: Ended, suffices: Callable[[Any], bool] | None = None) -> int:
        """Note a question; return its number.

        Args:
            asked: the ids of the workers that will answer.
            ended: called once with what has come back; here, if nobody was asked.
            suffices: whether this answer makes all others needless.
        """
        number = next(self._numbers)
        if asked:
            self._open[number] = _Question(set(asked), ended, suffices or _never)
        else:
            ended(Answers())
        return number

    def answered(self, number: int, worker_id: int, value: Any) -> None:  # noqa: ANN401 - of the application
        """A worker has answered; one to a question that has ended, or of a worker that was not asked, is dropped."""
        question = self._asked(number, worker_id)
        if question is not None:
            question.answers.values[worker_id] = value
            self._heard(number, question, worker_id, question.suffices(value))

    def failed(self, number: int, worker_id: int, reason: str) -> None:
        """A worker has answered that it cannot."""
        question = self._asked(number, worker_id)
        if question is not None:
            question.answers.failures[worker_id] = reason
            self._heard(number, question, worker_id, False)

    def unknown(self, number: int, worker_id: int) -> None:
        """A worker has answered that it has no such client: it is asked no longer, and has said nothing."""
        question = self._asked(number, worker_id)
        if question is not None:
            self._heard(number, question, worker_id, False)

    def members_changed(self, members: Collection[int]) -> None:
        """Only these can still answer."""
        for number, question in list(self._open.items()):
            question.answers.gone |= question.missing.difference(members)
            question.missing.intersection_update(members)
            if not question.missing:
                self._end(number)

    def expire(self, number: int) -> None:
        """The time of a question is over."""
        question = self._open.get(number)
        if question is not None:
            question.answers.missing = frozenset(question.missing)
            self._end(number)

    def _asked(self, number: int, worker_id: int) -> _Question | None:
        question = self._open.get(number)
        return question if question is not None and worker_id in question.missing else None

    def _heard(self, number: int, question: _Question, worker_id: int, suffices: bool) -> None:
        question.missing.discard(worker_id)
        if suffices or not question.missing:
            self._end(number)

    def _end(self, number: int) -> None:
        question = self._open.pop(number)
        question.ended(question.answers)


def _never(_: object) -> bool:
    return False
