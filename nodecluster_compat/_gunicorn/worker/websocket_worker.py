"""Extend the gevent worker with gevent-websocket: ``-k nodecluster_compat.WebSocketWorker``.

Whoever uses simple-websocket or flask-sock needs no worker of its own: those take ``gunicorn.socket``.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .gevent_worker import ClusterGeventWorker

if TYPE_CHECKING:
    from ...base.log import Log
    from ..gunicorn_types import Settings

__all__ = ["ClusterWebSocketWorker"]


class ClusterWebSocketWorker(ClusterGeventWorker):
    """``gunicorn -k nodecluster_compat.WebSocketWorker``."""

    serves_gevent_websocket = True

    @classmethod
    def check_config(cls, cfg: Settings, log: Log) -> None:
        """Extends the gevent worker's.

        Raises:
            RuntimeError: gevent-websocket is not installed; gunicorn prints the sentence and exits with 1.
        """
        if find_spec("geventwebsocket") is None:
            raise RuntimeError(
                "nodecluster-compat: expected gevent-websocket for WebSocketWorker, and it is not installed: pip "
                "install 'nodecluster-compat[gevent-websocket]', or use nodecluster_compat.Worker with simple-websocket"
            )
        super().check_config(cfg, log)

    def wrap(self, application: Any) -> Any:  # noqa: ANN401 - of whatever interface
        """Extends the gevent worker's: requests for a websocket get one."""
        from ..requests.gevent_websockets import WithWebSockets

        return WithWebSockets(super().wrap(application), self.log)
