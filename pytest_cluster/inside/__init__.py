"""Serve the test inside the processes of its cluster.

``nodecluster_compat.under_test`` imports this package when the plugin's token is in the environment, and at no other
time, and hands in what it needs of the server (:mod:`.hosts`).  It imports neither gevent nor gunicorn, and talks to
the test only.
"""

from .agent import connect, enter_primary, enter_worker, leave, mark, page_fields, reach, wrap, wrap_asgi
from .hosts import Desk, Reactor, WorkerHost

__all__ = [
    "Desk",
    "Reactor",
    "WorkerHost",
    "connect",
    "enter_primary",
    "enter_worker",
    "leave",
    "mark",
    "page_fields",
    "reach",
    "wrap",
    "wrap_asgi",
]
