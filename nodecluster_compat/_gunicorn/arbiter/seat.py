"""Define the arbiter as its helpers see it: those that replace methods of gunicorn's.

Each of them adds what it needs besides in its own file.  Most that stand in for nothing see no arbiter, but get their
arguments.  So an import goes from the arbiter to its helpers, never back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ...base.loop import Loop
    from ...base.records import ServedAddress
    from ...roles.primary import Primary
    from ...roles.worker_handle import WorkerRoster
    from ..gunicorn_types import GunicornLog, ListeningSocket, Settings

__all__ = ["Seat"]


if TYPE_CHECKING:

    class Seat(Protocol):
        """The arbiter, as each of these helpers sees it.

        Attributes:
            pid: this process's.
            cfg: gunicorn's settings; a reload replaces them.
            log: gunicorn's logger.
            loop: what the arbiter waits in.
            primary: Node's primary.
            roster: the workers that run.
            num_workers: how many there should be.
            is_stopping: whether the server ends.
            is_supervised: whether workers that end are replaced; not where a script alone forks.
            LISTENERS: gunicorn's listening sockets.
            served: how the primary serves them, in the same order; empty where the workers accept.
        """

        pid: int
        cfg: Settings
        log: GunicornLog
        loop: Loop
        primary: Primary
        roster: WorkerRoster
        num_workers: int
        is_stopping: bool
        is_supervised: bool
        LISTENERS: list[ListeningSocket]
        served: list[ServedAddress]
