"""List the variables that this package adds to each ``environ``, and to the access log."""

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
