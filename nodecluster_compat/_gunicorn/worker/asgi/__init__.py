"""Serve as gunicorn's ASGI worker, fed by the primary: ``-k nodecluster_compat.ASGIWorker``.

* ``worker`` is gunicorn's, extended, and waits in its ``running_loop``; ``sources`` brings its connections,
  ``connections`` keeps them.
* ``protocol`` serves one of them; ``routed`` and ``routed_protocol`` where it may be another worker's.
* ``metered``, ``late_requests`` and ``request_ids`` are for each request; ``answer_heads`` writes its answer.
* ``application_lifespan`` and ``leftover_tasks`` begin and end the application.

An older gunicorn is refused here: its ASGI protocol lacks what modules of this folder take from it by name.
"""

from __future__ import annotations

from typing import Final

from ..supported_gunicorn import refuse_older_gunicorn

__all__ = ["FIRST_GUNICORN"]

FIRST_GUNICORN: Final = (27, 0, 1)
"""The first gunicorn whose ASGI protocol says when it closes a connection, and when one is idle."""

refuse_older_gunicorn("ASGIWorker", FIRST_GUNICORN)
