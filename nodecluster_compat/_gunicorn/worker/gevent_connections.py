"""End the connections of a gevent worker in a drain: by its notes of who is idle, and by killing greenlets."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import gevent

from ...gevent_runtime.client_socket import cut_connections
from ...gevent_runtime.idle_limit import IdleLimit

__all__ = ["GeventConnections"]

_CUT_SECONDS: Final = 1.0
_CUT_TURN: Final = 0.01


class GeventConnections:
    """See :class:`~nodecluster_compat._gunicorn.worker.drained_connections.Connections`.

    Args:
        serving: the connections, by greenlet; those that end leave the mapping.
        waits: knows which of them are idle; ``None`` where nobody does.
    """

    def __init__(self, serving: Mapping[Any, Any], waits: IdleLimit | None) -> None:
        self._serving = serving
        self._waits = waits

    def __len__(self) -> int:
        return len(self._serving)

    def end_idle(self) -> None:
        """Wait for no further request."""
        if self._waits is not None:
            self._waits.finish(self._serving)

    def end_idle_now(self) -> None:
        """End what is idle."""
        if self._waits is not None:
            self._waits.finish(self._serving)
            self._waits.finish_now()
            gevent.sleep(0)

    def cut(self) -> None:
        """Kill greenlets (their ``finally`` runs), then shut the sockets that those leave open."""
        cut_connections(self._serving)
        patience = time.monotonic() + _CUT_SECONDS
        while self._serving and time.monotonic() < patience:
            gevent.sleep(_CUT_TURN)
