"""Serve the test inside the processes of its cluster.

``nodecluster_compat.under_test`` imports this package when the plugin's token is in the environment, and at no other
time, and hands in what it needs of the server (:mod:`.hosts`).  It imports neither gevent nor gunicorn, and talks to
the test only.

What happens inside a process?

* ``agent`` puts one into each process; ``agents`` answer the test's calls by ``link``, and run its ``functions``.
* ``steps`` acts at what is ``armed``; ``delivery_faults``, ``disk`` and ``clock`` are places of their own;
  ``replaced`` wraps functions.
* ``web`` and ``asgi`` mark answers and count requests; ``dumps`` and ``output`` write stacks and logs.
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
