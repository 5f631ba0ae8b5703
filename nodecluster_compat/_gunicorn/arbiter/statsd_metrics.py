"""Report the two metrics of gunicorn's ``Arbiter.manage_workers``: how many workers run, how many connections wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .seat import Seat

__all__ = ["report_workers"]


if TYPE_CHECKING:

    class _Seat(Seat, Protocol):
        """The arbiter, whose number of workers is reported when it changes."""

        _last_logged_active_worker_count: int | None


def report_workers(arbiter: _Seat) -> None:
    """Report both, with our own queue in the backlog."""
    count = len(arbiter.roster.staying)
    if arbiter._last_logged_active_worker_count != count:
        arbiter._last_logged_active_worker_count = count
        extra = {"metric": "gunicorn.workers", "value": count, "mtype": "gauge"}
        arbiter.log.debug("%s workers", count, extra=extra)
    if arbiter.cfg.enable_backlog_metric:
        backlog = sum(listener.get_backlog() or 0 for listener in arbiter.LISTENERS)
        if backlog >= 0:
            backlog += arbiter.primary.dealer.waiting_connections()
            extra = {"metric": "gunicorn.backlog", "value": backlog, "mtype": "histogram"}
            arbiter.log.debug("socket backlog: %s", backlog, extra=extra)
