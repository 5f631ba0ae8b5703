"""Describe this process to its application: Node's ``process`` under ``cluster``.

In a process that is not a worker, registering handlers is always safe; ``connected`` is ``False`` and
``send`` raises with a sentence that says why.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn, Protocol

from ..base.emitter import Emitter
from ..base.records import Handle, Message
from ..errors import NotInCluster
from ..messages.channel import SendCallback
from .sending import SendOptions

__all__ = ["ChannelHold", "Process", "process"]


class _Worker(Protocol):
    """What a process asks of the worker that it is."""

    def is_connected(self) -> bool: ...

    def send(
        self,
        message: Message,
        handle: Handle | Callable[..., Any] = None,
        options: SendOptions = None,
        callback: SendCallback | None = None,
        *,
        keep_open: bool = False,
    ) -> bool: ...

    def lose_channel(self) -> None: ...

    def exit(self, code: int) -> None: ...

    def hold_channel(self, holds: bool) -> None: ...


class ChannelHold:
    """Whether a channel keeps its process alive: Node's ``process.channel``."""

    def __init__(self, hold: Callable[[bool], None]) -> None:
        self._hold = hold
        self._holds = True

    def ref(self) -> ChannelHold:
        """Keep the process alive while the channel is open, as it does unless told otherwise."""
        self._holds = True
        self._hold(True)
        return self

    def unref(self) -> ChannelHold:
        """Let the process end although the channel is open: when no server, timer or connection is left."""
        self._holds = False
        self._hold(False)
        return self

    def has_ref(self) -> bool:
        """Whether it keeps the process alive."""
        return self._holds


class Process(Emitter):
    """This process.

    Events, in a worker: ``message(message, handle)``, ``disconnecting(seconds)``, ``disconnect()``, ``error(exc)``.

    Attributes:
        exit_code: the code to end with when nothing is left to do; ``None`` means 0 (Node: ``process.exitCode``).
    """

    def __init__(self) -> None:
        super().__init__()
        self._worker: _Worker | None = None
        self._channel: tuple[_Worker, ChannelHold] | None = None
        self.exit_code: int | None = None

    @property
    def pid(self) -> int:
        """The id of this process."""
        return os.getpid()

    @property
    def connected(self) -> bool:
        """Whether there is an open channel to a primary."""
        return self._worker is not None and self._worker.is_connected()

    @property
    def channel(self) -> ChannelHold | None:
        """The channel to the primary, to :meth:`~ChannelHold.unref` it; ``None`` where none is open."""
        worker = self._worker
        if worker is None or not worker.is_connected():
            return None
        if self._channel is None or self._channel[0] is not worker:
            self._channel = worker, ChannelHold(worker.hold_channel)
        return self._channel[1]

    def send(
        self,
        message: Message,
        handle: Handle | Callable[..., Any] = None,
        options: SendOptions = None,
        callback: SendCallback | None = None,
        *,
        keep_open: bool = False,
    ) -> bool:
        """Send a message to the primary; see :meth:`ClusterWorker.send`.

        Raises:
            NotInCluster: this process has no primary.
        """
        return self._own_worker("process.send()").send(message, handle, options, callback, keep_open=keep_open)

    def disconnect(self) -> None:
        """Close the channel to the primary at once; a worker that nobody asked to leave exits with 0."""
        self._own_worker("process.disconnect()").lose_channel()

    def exit(self, code: int = 0) -> NoReturn:
        """End this process with ``code`` (0 to 255), whichever greenlet calls it."""
        if self._worker is not None:
            self._worker.exit(code)
        sys.exit(code)

    def _own_worker(self, what: str) -> _Worker:
        if self._worker is None:
            raise NotInCluster(
                f"{what} needs a primary to talk to, and this process (pid {os.getpid()}) is not a cluster worker: "
                "it runs only in a worker of 'gunicorn -k nodecluster_compat.Worker'"
            )
        return self._worker


process = Process()
