"""Say what each ``environ`` of this process has beside gunicorn's, and the access log can say beside it."""

from __future__ import annotations

from typing import Any

from ...base.this_request import LIMIT_KEY, SLOT_KEY, limit_request
from ...roles.cluster import cluster

__all__ = ["own_variables", "slot_text"]


def own_variables() -> dict[str, Any]:
    """Return those that are the same for all requests: the worker's slot, and what a request limits itself by."""
    return {LIMIT_KEY: limit_request, SLOT_KEY: slot_text()}


def slot_text() -> str:
    """Return the slot of this worker; ``-`` in a process that is none."""
    return "-" if cluster.worker is None else str(cluster.worker.slot)
