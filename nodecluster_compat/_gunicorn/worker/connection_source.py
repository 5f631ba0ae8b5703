"""Define a source of connections: what it does, and what it needs of the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ..gunicorn_types import GunicornLog, Settings
    from ..requests.metering import Metering

__all__ = ["ConnectionSource", "ServingWorker"]


class ConnectionSource(Protocol):
    """Where a worker's connections come from: the primary, or the kernel."""

    def begin(self) -> None:
        """Serve from now on, and say so."""

    def turn(self) -> None:
        """Once a turn of the worker's main loop."""

    def stop(self) -> None:
        """Take no further connection."""

    def has_left(self) -> bool:
        """Whether no further connection can come."""


class ServingWorker(Protocol):
    """gunicorn's worker object, as a source sees it.

    Attributes:
        clean_loop: serves the requests about which there is nothing to decide; ``None``: gunicorn serves all.
    """

    cfg: Settings
    log: GunicornLog
    worker_connections: int
    clean_loop: Any

    @property
    def metering(self) -> Metering:
        """Counts its connections."""

    @property
    def has_usual_limit(self) -> bool:
        """Whether requests have a limit without having said anything."""

    def notify(self) -> None:
        """Give a sign of life; gunicorn's."""

    def handle(self, listener: object, client: object, addr: object) -> None:
        """Serve one connection to its end; gunicorn's."""
