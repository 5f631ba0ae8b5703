"""Warn of a Socket.IO server whose ``async_mode`` is ``"gevent"`` in a thread worker, where no greenlet ever runs.

python-engineio takes that mode wherever it finds gevent, which we bring, unless the program names another one.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from ....machine.said_once import Topic, is_first_to_say

if TYPE_CHECKING:
    from ....base.log import Log

__all__ = ["warn_of_gevent_mode"]

_DRIVER: Final = "engineio.async_drivers.gevent"  # imported by whoever makes a server of that mode


def warn_of_gevent_mode(log: Log) -> None:
    """Say that nobody can connect, now that the application is loaded."""
    if _DRIVER in sys.modules and is_first_to_say(Topic.ASYNC_MODE):
        log.warning(
            "Socket.IO's server runs by gevent, and serves nobody in this class of worker: write "
            'async_mode="threading", or -k nodecluster_compat.Worker'
        )
