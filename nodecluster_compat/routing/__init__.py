"""Route requests to the worker that they belong to: sticky sessions.

``cluster.setup_primary(routing=...)`` in ``gunicorn.conf.py`` names the keys; unset, requests of Socket.IO are routed
where the application uses it.  A worker learns its own id, which no other worker of its server ever has, by
``cluster.worker.id``.
"""

from __future__ import annotations

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
