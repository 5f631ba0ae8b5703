"""Let metrics of ``prometheus_client`` live in the memory that workers share with their primary.

``prometheus_client`` makes the value of each metric, and of each child of it, by its ``values.ValueClass``, which its
multiprocess mode replaces as well.  So counters, gauges, summaries and histograms are what they always are.  ``Info``
and ``Enum`` keep no values there and stay in their process, as in that mode.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from .shared_values import UNSHARED, SharedValues, make_values

__all__ = ["share_prometheus_metrics"]

_COMPACT: Final = (",", ":")


class SharedValue:
    """The value of one metric; what it does is ``prometheus_client``'s ``MutexValue``.

    Args:
        typ: ``counter``, ``gauge``, ``summary`` or ``histogram``.
        metric_name: of the metric.
        name: of the sample.
        labelnames: of the sample.
        labelvalues: the same.
        help_text: of the metric.
        multiprocess_mode: of a gauge: what is made of the values of several workers.
    """

    _multiprocess = True

    __slots__ = ("_at", "_cells_if_unshared", "_exemplar", "_store")

    def __init__(
        self,
        typ: str,
        metric_name: str,
        name: str,
        labelnames: Iterable[str],
        labelvalues: Iterable[str],
        help_text: str,
        multiprocess_mode: str = "",
        **_: object,
    ) -> None:
        key = [typ, metric_name, name, [*labelnames], [*labelvalues], help_text, multiprocess_mode]
        self._store: SharedValues = make_values()
        index = self._store.index_of(json.dumps(key, separators=_COMPACT).encode())
        self._at = 2 * index
        self._cells_if_unshared = [0.0, 0.0] if index == UNSHARED else None
        self._exemplar: Any = None

    def inc(self, amount: float) -> None:
        """Add ``amount``."""
        amount, store = float(amount), self._store
        with store.lock:
            if self._cells_if_unshared is None:
                store.cells[self._at] += amount
            else:
                self._cells_if_unshared[0] += amount

    def set(self, value: float, timestamp: float | None = None) -> None:
        """Be ``value`` from now on."""
        cells, at = self._cells()
        with self._store.lock:
            cells[at] = float(value)
            cells[at + 1] = float(timestamp or 0.0)

    def get(self) -> float:
        """Return the value of this process."""
        cells, at = self._cells()
        return float(cells[at])

    def set_exemplar(self, exemplar: Any) -> None:  # noqa: ANN401 - prometheus_client's Exemplar
        """Keep an exemplar."""
        self._exemplar = exemplar
        if self._cells_if_unshared is None:
            told = [exemplar.labels, exemplar.value, exemplar.timestamp]
            self._store.set_exemplar(self._at // 2, json.dumps(told, separators=_COMPACT).encode())

    def get_exemplar(self) -> Any:  # noqa: ANN401 - as above
        """Return the last exemplar of this process."""
        return self._exemplar

    def _cells(self) -> tuple[Any, int]:
        return (self._store.cells, self._at) if self._cells_if_unshared is None else (self._cells_if_unshared, 0)


def share_prometheus_metrics() -> None:
    """Let the metrics of ``prometheus_client`` be shared: those that are made from now on, and those that there are.

    Raises:
        ImportError: it is not installed.
    """
    from prometheus_client import REGISTRY, values

    if values.ValueClass is not SharedValue:
        make_values()
        values.ValueClass = SharedValue
        for metric in {id(one): one for one in REGISTRY._collector_to_names}.values():
            _share(metric)


def _share(metric: Any) -> None:  # noqa: ANN401 - any collector
    """Give a metric that was made before a shared value, and its children; what it has counted goes along."""
    if hasattr(metric, "_metric_init"):
        children = list(getattr(metric, "_metrics", {}).values())
        for one in (metric, *children):
            if one._is_observable():
                _move(one)


def _move(metric: Any) -> None:  # noqa: ANN401 - a metric of prometheus_client
    former = _values_of(metric)
    created = getattr(metric, "_created", None)
    if not former:
        return
    metric._metric_init()
    if created is not None:
        metric._created = created
    for one, before in zip(_values_of(metric), former, strict=True):
        one.set(before.get())


def _values_of(metric: Any) -> Sequence[Any]:  # noqa: ANN401 - a metric of prometheus_client
    found = [getattr(metric, name, None) for name in ("_value", "_count", "_sum")]
    return [one for one in [*found, *getattr(metric, "_buckets", ())] if hasattr(one, "set_exemplar")]
