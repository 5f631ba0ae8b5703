"""Run Socket.IO on several workers: ``SocketIO(app, client_manager=ClusterManager())``.

Importing this package imports nothing of python-socketio; its names are loaded when they are asked for.

How does an event reach a client of another worker?

* ``manager`` and ``async_manager`` are python-socketio's, and share what never waits (``shared``).
* ``group_seat`` is a manager's place in the sharing; ``events`` go out as clients read them, ``wire`` encodes all else.
* ``asked_workers`` and ``questions`` ask other workers; ``acknowledgements`` ends those who wait in vain.
* ``sid`` brings a client back to its worker; ``moving`` lets it go on with another, and ``recovery`` gives it what it
  missed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .async_manager import AsyncClusterManager as AsyncClusterManager
    from .manager import ClusterManager as ClusterManager
    from .records import RemoteSocket as RemoteSocket

__all__ = ["AsyncClusterManager", "ClusterManager", "RemoteSocket"]

_HOMES = {"AsyncClusterManager": "async_manager", "ClusterManager": "manager", "RemoteSocket": "records"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(f".{_HOMES[name]}", __name__)
    except ModuleNotFoundError as error:
        if error.name != "socketio":
            raise
        raise ImportError(
            "expected python-socketio, which is not installed: pip install 'nodecluster-compat[socketio]'"
        ) from error
    return getattr(module, name)
