"""Declare what the agent needs of the process around it."""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

from ..values import Message

__all__ = ["PrimaryHost", "Reactor", "WorkerHost"]


class Reactor(Protocol):
    """Readiness of descriptors in the loop of this process."""

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back whenever ``fd`` is readable or closed."""

    def remove_reader(self, fd: int) -> None:
        """Stop watching ``fd`` for reading."""

    def add_writer(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back whenever ``fd`` is writable or broken."""

    def remove_writer(self, fd: int) -> None:
        """Stop watching ``fd`` for writing."""


class WorkerHost(Reactor, Protocol):
    """The worker around its agent."""

    def spawn(self, call: Callable[[], None]) -> None:
        """Run ``call`` beside requests; it may block."""

    def crash(self, error: BaseException) -> None:
        """Let ``error`` end the worker, as if its main loop had raised it."""

    def greenlets(self, frame: FrameType | None) -> str:
        """Return the stacks of every greenlet; the current one was interrupted in ``frame``."""

    def block(self, seconds: float) -> None:
        """Block the whole process, greenlets and all."""


class PrimaryHost(Reactor, Protocol):
    """The primary around its agent."""

    def send(self, worker: int, message: Message) -> bool:
        """Send a message to a worker."""

    def disconnect_worker(self, worker: int) -> None:
        """``worker.disconnect()``."""

    def disconnect(self) -> None:
        """``cluster.disconnect()``."""

    def scale(self, workers: int) -> None:
        """Have so many workers from now on."""

    def reload(self, callback: Callable[[object], object]) -> None:
        """``cluster.reload()``; call back with the report."""

    def status(self) -> dict[str, Any]:
        """``cluster.status`` as a mapping; empty where there is none."""

    def end(self) -> None:
        """End the server, quickly: the test is gone."""
