"""Know the meter of this process, whatever serves its requests."""

from __future__ import annotations

from .request_meter import RequestMeter

__all__ = ["abandon_meter", "this_meter", "use_meter"]


class _ThisProcess:
    meter: RequestMeter | None = None


def use_meter(meter: RequestMeter) -> None:
    """Count with ``meter`` from now on, in this process."""
    _ThisProcess.meter = meter


def this_meter() -> RequestMeter:
    """Return the meter of this process; one that nobody reads where it is no worker."""
    if _ThisProcess.meter is None:
        _ThisProcess.meter = RequestMeter()
    return _ThisProcess.meter


def abandon_meter() -> None:
    """In a process that a worker forked: it counts for nobody."""
    if _ThisProcess.meter is not None:
        _ThisProcess.meter.abandon()
