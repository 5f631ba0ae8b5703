"""Route requests to the worker that they belong to: sticky sessions.

``cluster.setup_primary(routing=...)`` in ``gunicorn.conf.py`` names the keys; unset, requests of Socket.IO are routed
where the application uses it.  A worker learns its own id, which no other worker of its server ever has, by
``cluster.worker.id``.

Who decides whose a request is?

* ``router``, in a worker that has read the ``head`` of it, maybe after a ``proxy_header``.
* ``keys`` say whose it is: the application's, Socket.IO's (``engineio``), or those that the server has ``issued``.
* ``issued_wsgi`` and ``issued_asgi`` put the latter into answers; ``setting`` reads which are in force.
* ``relays`` carry what cannot move: TLS that has begun.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .engineio import EngineIO
    from .head import RequestHead
    from .issued import IssuedField, StickyCookie
    from .keys import ANYBODY, Cookie, Field, Found, Key, Path, Query

__all__ = [
    "ANYBODY",
    "Cookie",
    "EngineIO",
    "Field",
    "Found",
    "IssuedField",
    "Key",
    "Path",
    "Query",
    "RequestHead",
    "StickyCookie",
]

_HOMES = {
    "EngineIO": "engineio",
    "RequestHead": "head",
    "IssuedField": "issued",
    "StickyCookie": "issued",
    **dict.fromkeys(("ANYBODY", "Cookie", "Field", "Found", "Key", "Path", "Query"), "keys"),
}


def __getattr__(name: str) -> object:
    """Load what is asked for: a server that issues nothing needs no cryptography."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
