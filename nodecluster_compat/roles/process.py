"""Describe this process to its application: Node's ``process`` under ``cluster``.

In a process that is not a worker, registering handlers is always safe; ``connected`` is ``False`` and
``send`` raises with a sentence that says why.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn, Protocol

from ..base.emitter import Emitter
from ..base.records import Handle, Message
from ..errors import NotInCluster
from ..messages.channel import SendCallback

__all__ = ["Process", "process"]


class _Worker(Protocol):
    """What a process asks of the worker that it is."""

    def is_connected(self) -> bool: ...

    def send(
        self, message: Message, handle: Handle = None, *, keep_open: bool = False, callback: SendCallback | None = None
    ) -> bool: ...

    def lose_channel(self) -> None: ...

    def exit(self, code: int) -> None: ...


class Process(Emitter):
    """This process.

    Events, in a worker: ``message(message, handle)``, ``disconnecting(seconds)``, ``disconnect()``, ``error(exc)``.

    Attributes:
        exit_code: the code to end with when nothing is left to do; ``None`` means 0 (Node: ``process.exitCode``).
    """

    def __init__(self) -> None:
        super().__init__()
        self._worker: _Worker | None = None
        self.exit_code: int | None = None

    @property
    def pid(self) -> int:
        """The id of this process."""
        return os.getpid()

    @property
    def connected(self) -> bool:
        """Whether there is an open channel to a primary."""
        return self._worker is not None and self._worker.is_connected()

    def send(
        self, message: Message, handle: Handle = None, *, keep_open: bool = False, callback: SendCallback | None = None
    ) -> bool:
        """Send a message to the primary; see :meth:`ClusterWorker.send`.

        Raises:
            NotInCluster: this process has no primary.
        """
        return self._own_worker("process.send()").send(message, handle, keep_open=keep_open, callback=callback)

    def disconnect(self) -> None:
        """Close the channel to the primary at once; a worker that nobody asked to leave exits with 0."""
        self._own_worker("process.disconnect()").lose_channel()

    def exit(self, code: int = 0) -> NoReturn:
        """End this process with ``code`` (0 to 255), whichever greenlet calls it."""
        if self._worker is not None:
            self._worker.exit(code)
        sys.exit(code)

    def let_go(self) -> None:
        """The process ends: refer to nothing of the application."""
        self.remove_all_listeners()

    def _own_worker(self, what: str) -> _Worker:
        if self._worker is None:
            raise NotInCluster(
                f"{what} needs a primary to talk to, and this process (pid {os.getpid()}) is not a cluster worker: "
                "it runs only in a worker of 'gunicorn -k nodecluster_compat.Worker'"
            )
        return self._worker


process = Process()
