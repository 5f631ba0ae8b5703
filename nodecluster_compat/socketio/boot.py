"""Begin Socket.IO's part of a worker when its application is loaded.

python-socketio's managers begin to listen with their first client.  A worker that has no client would hear no
acknowledgement then, so ours begin here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from weakref import WeakSet

from .sid import install

__all__ = ["Beginning", "begin", "remember"]


class Beginning(Protocol):
    """A manager."""

    def begin_in_worker(self) -> None:
        """Listen to other workers from now on."""


_made: WeakSet[Beginning] = WeakSet()


def remember(manager: Beginning) -> None:
    """This manager has a server, and begins with the worker; called where it is made, which may be before the fork."""
    _made.add(manager)


def begin(worker_id: int, call_soon: Callable[[Callable[[], None]], None]) -> None:
    """The application is loaded.

    Args:
        worker_id: of this worker.
        call_soon: calls back where the application's own code runs: on the loop, if there is one.
    """
    install(worker_id)
    for manager in list(_made):
        call_soon(manager.begin_in_worker)
