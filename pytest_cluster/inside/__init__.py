"""The part of the plugin that runs inside the processes of a cluster under test.

``nodecluster_compat.under_test`` loads it when the plugin's token is in the environment, and at no other time. It gets
what it needs of the server handed in (:mod:`.hosts`), imports neither gevent nor gunicorn, and talks to the test
only.
"""

from .agent import connect, enter_primary, enter_worker, leave, mark, reach, wrap
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
    "reach",
    "wrap",
]
