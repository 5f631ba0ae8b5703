"""The application of these measurements in a worker that counts nothing: `uncounted:app`."""

from __future__ import annotations

from app import app

from nodecluster_compat.operations.metrics.this_meter import this_meter

__all__ = ["app"]

meter = this_meter()
meter.begin = lambda slot, line: 0.0
meter.end = lambda slot, started, method, status, sent: None
