"""Count requests by the worker that has answered, and assert their distribution."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..errors import OptionError
from ..options.checks import check_count
from ..options.settings import POLICIES

__all__ = ["Hit", "Hits", "assert_distribution", "assert_no_request_lost"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

SHOWN = 10
BAR = 40


@dataclass(frozen=True, slots=True)
class Hit:
    """One request: *status* and *worker* of its answer, or the *error* that came instead."""

    path: str
    status: int | None
    worker: int | None
    error: str
    text: str = ""
    """The beginning of the answer's body, up to 1000 bytes."""

    @property
    def is_lost(self) -> bool:
        """Whether nobody has answered it, or the server could not (a status of 500 and above)."""
        return self.status is None or self.status >= 500


class Hits(Sequence[Hit]):
    """The requests of one run, in the order of their ends.

    Attributes:
        concurrency: how many were under way at a time.
        listening: the ids of the workers that listened when it began; empty when nobody has told.
    """

    def __init__(self, hits: Iterable[Hit], concurrency: int = 1, listening: Iterable[int] = ()) -> None:
        self.concurrency = concurrency
        self.listening: frozenset[int] = frozenset(listening)
        self._hits = list(hits)

    def by_worker(self) -> dict[int | None, int]:
        """How many each worker has answered; under ``None`` those that nobody did."""
        counts = Counter(hit.worker for hit in self._hits)
        return dict(sorted(counts.items(), key=lambda item: (item[0] is None, item[0] or 0)))

    def by_text(self) -> dict[str, int]:
        """How often each answer came, by its text: ``{"version 1": 31, "version 2": 40}``."""
        return dict(Counter(hit.text for hit in list(self._hits) if not hit.error))

    @property
    def lost(self) -> list[Hit]:
        """Those that nobody has answered, or only with a 5xx."""
        return [hit for hit in self._hits if hit.is_lost]

    def histogram(self) -> str:
        """A line for each worker, for people."""
        counts = self.by_worker()
        most = max(counts.values(), default=1)
        names = {worker: "nobody" if worker is None else f"worker {worker}" for worker in counts}
        return "\n".join(f"{names[one]:>10} {count:6d} {'#' * (BAR * count // most)}" for one, count in counts.items())

    def append(self, hit: Hit) -> None:
        """Add a request; from any thread."""
        self._hits.append(hit)

    def __len__(self) -> int:
        return len(self._hits)

    def __getitem__(self, index: int) -> Hit:  # type: ignore[override]  # slices are not needed
        return self._hits[index]

    def __iter__(self) -> Iterator[Hit]:
        return iter(self._hits)

    def __repr__(self) -> str:
        return f"<{len(self)} requests, {len(self.lost)} lost, by worker {self.by_worker()}>"


def assert_no_request_lost(hits: Hits) -> None:
    """Fail unless every request was answered, and none with a 5xx.

    :param hits: from ``cluster_client.get_many`` or ``load``.
    :raises OptionError: it is none of these.
    :raises AssertionError: one was lost, or none was made.
    """
    if not isinstance(hits, Hits):
        raise OptionError(f"expected hits, as cluster_client.get_many() returns them, got {hits!r:.100}")
    lost = hits.lost
    if not hits:
        raise AssertionError("no request was made, so none can be said not to be lost")
    if lost:
        shown = "\n".join(map(_line, lost[:SHOWN]))
        raise AssertionError(f"{len(lost)} of {len(hits)} requests were lost:\n{shown}")


def _line(hit: Hit) -> str:
    who = "no worker answered" if hit.worker is None else f"worker {hit.worker}"
    return f"  {hit.path} → {hit.error or hit.status} ({who})"


def assert_distribution(
    hits: Hits, *, policy: str = "rr", tolerance: int | None = None, workers: Iterable[int] | None = None
) -> None:
    """Fail unless the requests went to the workers as a policy sends them.

    :param hits: from ``cluster_client.get_many`` or ``load``.
    :param policy: ``"rr"``: as many to each.  Of requests one after another that is exact; of requests at the same
        time, each goes to the first worker that is free, so up to two for each at a time may go astray.
        ``"none"``: the kernel decides; every worker has had one.
    :param tolerance: how far the most and the least may lie apart, instead.
    :param workers: the ids of those that must have answered; default: those that listened when the requests began.
    :raises OptionError: something of that cannot be.
    :raises AssertionError: a request was lost, one of these workers had none, or the shares lie too far apart.
    """
    if policy not in POLICIES:
        raise ValueError(f"expected policy 'rr' or 'none', got {policy!r}")
    if tolerance is not None:
        check_count("assert_distribution(tolerance)", tolerance, 0)
    assert_no_request_lost(hits)
    counts = {worker: count for worker, count in hits.by_worker().items() if worker is not None}
    if not counts:
        raise AssertionError(
            f"{len(hits)} requests were answered, and no answer says by which worker: one of gunicorn's own worker "
            "classes does not say it, nor does a server beside the cluster"
        )
    missing = sorted(set(hits.listening if workers is None else workers) - set(counts))
    if missing:
        raise AssertionError(f"nothing went to worker {', '.join(map(str, missing))}:\n{hits.histogram()}")
    if policy == "rr":
        _check_shares(hits, list(counts.values()), tolerance)


def _check_shares(hits: Hits, shares: Sequence[int], tolerance: int | None) -> None:
    allowed = tolerance if tolerance is not None else 1 if hits.concurrency == 1 else 2 * hits.concurrency
    apart = max(shares) - min(shares)
    if apart > allowed:
        raise AssertionError(
            f"the shares of the workers lie {apart} apart, round robin allows {allowed} here:\n{hits.histogram()}"
        )
