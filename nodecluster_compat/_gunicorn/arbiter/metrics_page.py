"""Answer ``/metrics``: the cluster's numbers, and those of the application's own metrics."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

from ...base.version import __version__
from ...machine.process_usage import usage_of
from ...operations.metrics.cluster_families import PrimaryFacts, cluster_families
from ...operations.metrics.exposition import negotiated
from ...operations.metrics.families import Family, Sample
from ...operations.routes import HttpAnswer

if TYPE_CHECKING:
    from ...operations.control_frames import HttpHead
    from ...operations.metrics.ledger import Ledger
    from ...operations.routes import Routes
    from .reloading import Reloader
    from .seat import Seat
    from .status_board import StatusBoard

__all__ = ["MetricsPage"]

_DROPPED_NAME: Final = "nodecluster_application_values_dropped"
_DROPPED: Final = "Values of the application's own metrics for which there is no room."


if TYPE_CHECKING:

    class _Seat(Seat, Protocol):
        """The arbiter, whose numbers are told."""

        board: StatusBoard
        ledger: Ledger
        reloader: Reloader


class MetricsPage:
    """The page of one arbiter.

    Args:
        arbiter: whose numbers are told.
        routes: where it is registered.
    """

    def __init__(self, arbiter: _Seat, routes: Routes) -> None:
        self._arbiter = arbiter
        self._started = time.time()
        self._told: frozenset[str] = frozenset()  # names of the application's that were logged
        routes.on("/metrics", self._metrics)

    def families(self) -> list[Family]:
        """Return all metrics."""
        arbiter = self._arbiter
        workers = [arbiter.ledger.figures(one) for one in arbiter.primary.registry.by_id.values()]
        facts = self._facts(arbiter.reloader.outcomes)
        own = cluster_families(arbiter.board.without_workers(), workers, arbiter.ledger.survey(), facts)
        application = arbiter.ledger.application()
        own.append(Family(_DROPPED_NAME, "gauge", _DROPPED, [Sample("", (), application.dropped)]))
        names = [family.name for family in own]
        self._tell_doubles(application.doubles(names))
        return [*own, *application.families(taken=names)]

    def _facts(self, reloads: Mapping[str, int]) -> PrimaryFacts:
        return PrimaryFacts(__version__, self._started, usage_of(os.getpid()), reloads)

    def _tell_doubles(self, names: frozenset[str]) -> None:
        if names - self._told:
            self._told |= names
            told = ", ".join(sorted(names))
            self._arbiter.log.warning("Left out of /metrics, as other metrics have these names: %s", told)

    def _metrics(self, request: HttpHead) -> HttpAnswer:
        content_type, write = negotiated(request.accept)
        return HttpAnswer(200, content_type, write(self.families()))
