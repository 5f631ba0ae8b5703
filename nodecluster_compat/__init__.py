"""Node.js ``cluster`` semantics inside gunicorn.

    gunicorn -k nodecluster_compat.Worker -w 4 app:app

``Worker`` is the gunicorn worker class.  ``cluster`` and ``process`` are Node's, in snake_case.  Importing
this package imports neither gevent nor gunicorn and patches nothing: attributes are loaded when they are
asked for, because gunicorn needs the class before it patches.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .base import fork_gate as _fork_gate  # noqa: F401 - first of all that registers
from .base.version import __version__

if TYPE_CHECKING:
    from . import dgram as dgram
    from . import errors as errors
    from . import http as http
    from . import net as net
    from ._gunicorn.worker.asgi.worker import ClusterASGIWorker as ASGIWorker
    from ._gunicorn.worker.gevent_worker import ClusterGeventWorker as Worker
    from ._gunicorn.worker.threads.worker import ClusterThreadWorker as ThreadWorker
    from ._gunicorn.worker.websocket_worker import ClusterWebSocketWorker as WebSocketWorker
    from .base.records import Address as Address
    from .roles.cluster import cluster as cluster
    from .roles.process import process as process

__all__ = [
    "ASGIWorker",
    "Address",
    "ThreadWorker",
    "WebSocketWorker",
    "Worker",
    "__version__",
    "cluster",
    "dgram",
    "errors",
    "http",
    "net",
    "process",
]

_HOMES = {
    "ASGIWorker": ("_gunicorn.worker.asgi.worker", "ClusterASGIWorker"),
    "Address": ("base.records", "Address"),
    "ThreadWorker": ("_gunicorn.worker.threads.worker", "ClusterThreadWorker"),
    "WebSocketWorker": ("_gunicorn.worker.websocket_worker", "ClusterWebSocketWorker"),
    "Worker": ("_gunicorn.worker.gevent_worker", "ClusterGeventWorker"),
    "cluster": ("roles.cluster", "cluster"),
    "dgram": ("dgram", None),
    "errors": ("errors", None),
    "http": ("http", None),
    "net": ("net", None),
    "process": ("roles.process", "process"),
}


def __getattr__(name: str) -> object:
    if name.endswith("Worker") and name not in _HOMES:
        # Of an AttributeError gunicorn says nothing, and calls the name itself.
        kinds = ", ".join(one for one in _HOMES if one.endswith("Worker"))
        raise ImportError(f"{__name__} has no worker class {name!r}; it has {kinds}", name=__name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module_name, attribute = _HOMES[name]
    module = import_module(f".{module_name}", __name__)
    value = module if attribute is None else getattr(module, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
