"""Say how a call over the sharing has ended: a value, or a cause and a reason, which become an error of ``errors``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from msgspec import Raw, Struct

from ..errors import (
    ChannelClosed,
    ClusterError,
    LockLost,
    LockNotAcquired,
    MessageTooLarge,
    RequestFailed,
    RequestTimedOut,
    WorkerGone,
)

__all__ = [
    "MOST_GATHERED_BYTES",
    "Answer",
    "Done",
    "Failure",
    "Gathered",
    "Missing",
    "RemoteWorker",
    "Replies",
    "error_of",
    "failure_of",
    "fitting",
    "key_of",
    "size_of",
    "too_large",
]

MOST_GATHERED_BYTES: Final = 60 * 1024 * 1024
"""What the answers to one request have together, in bytes once encoded."""

_AROUND_BYTES: Final = 32

Done: TypeAlias = Callable[[Exception | None, Any], None]
"""Hears once how a call has ended: ``done(error, value)``."""


class Failure(Struct, frozen=True, array_like=True):
    """Why a call was not done: the cause, a key of the table below, and a sentence."""

    cause: str
    reason: str


_ERRORS: Final[dict[str, type[ClusterError]]] = {
    "closed": ChannelClosed,
    "failed": RequestFailed,
    "gone": WorkerGone,
    "held": LockNotAcquired,
    "late": RequestTimedOut,
    "large": MessageTooLarge,
    "lost": LockLost,
}


def error_of(failure: Failure) -> ClusterError:
    """Return the error of a failure; a cause that is not known here is a :class:`RequestFailed`."""
    return _ERRORS.get(failure.cause, RequestFailed)(failure.reason)


def failure_of(error: Exception) -> Failure:
    """Return what to tell another process of an error."""
    cause = next((name for name, kind in _ERRORS.items() if isinstance(error, kind)), "failed")
    return Failure(cause, str(error) or type(error).__name__)


class RemoteWorker(NamedTuple):
    """A process of another host, among the replies of several; in order it comes after those of this host.

    Attributes:
        host: its name there; empty where no host could be asked.
        worker: its id there; 0 for the primary, or for the host as a whole.
    """

    host: str
    worker: int

    def __lt__(self, other: Any) -> bool:  # noqa: ANN401 - whatever it is compared with
        return not isinstance(other, int) and tuple(self) < other

    def __gt__(self, other: Any) -> bool:  # noqa: ANN401 - as above
        return isinstance(other, int) or tuple(self) > other


class Answer(Struct, frozen=True, array_like=True):
    """What one process has answered, still encoded; of this host without a name."""

    worker: int
    value: Raw
    host: str | None = None


class Missing(Struct, frozen=True, array_like=True):
    """A process that has not answered, and why; of this host without a name."""

    worker: int
    cause: str
    reason: str
    host: str | None = None


class Gathered(Struct, frozen=True, array_like=True):
    """How a call to several has ended."""

    answers: list[Answer]
    missing: list[Missing]


def size_of(value: Raw | bytes | bytearray, host: str | None = None) -> int:
    """Return how many bytes an answer takes among others, about."""
    return len(memoryview(value)) + len(host or "") + _AROUND_BYTES


def too_large(worker: int, size: int) -> Failure:
    """Return why an answer is not among the others."""
    return Failure("large", f"worker {worker} answered {size} bytes, for which there was no room beside other answers")


def fitting(gathered: Gathered, most: int = MOST_GATHERED_BYTES) -> Gathered:
    """Return what came with no more than so many bytes; who has answered what does not fit is missing."""
    answers, missing = [], list(gathered.missing)
    left = most
    for one in gathered.answers:
        size = size_of(one.value, one.host)
        if size > left:
            why = too_large(one.worker, size)
            missing.append(Missing(one.worker, why.cause, why.reason, one.host))
        else:
            answers.append(one)
            left -= size
    return Gathered(answers, missing)


def key_of(one: Answer | Missing) -> int | RemoteWorker:
    """Return what a process has among the replies."""
    return one.worker if one.host is None else RemoteWorker(one.host, one.worker)


class Replies(Mapping[int | RemoteWorker, Any]):
    """What several processes have answered, by the worker's id; 0 is the primary.

    Those of other hosts have a :class:`RemoteWorker` instead.

    Attributes:
        missing: who should have answered and has not, by id, each with the error that says why.
    """

    def __init__(
        self, answers: Mapping[int | RemoteWorker, Any], missing: Mapping[int | RemoteWorker, ClusterError]
    ) -> None:
        self._answers = dict(answers)
        self.missing = dict(missing)

    @property
    def is_complete(self) -> bool:
        """Whether everybody has answered who should have."""
        return not self.missing

    def __getitem__(self, worker: int | RemoteWorker) -> Any:  # noqa: ANN401 - a message
        return self._answers[worker]

    def __iter__(self) -> Iterator[int | RemoteWorker]:
        return iter(self._answers)

    def __len__(self) -> int:
        return len(self._answers)

    def __repr__(self) -> str:
        missing = f", missing={sorted(self.missing, key=str)}" if self.missing else ""
        return f"Replies({self._answers}{missing})"
