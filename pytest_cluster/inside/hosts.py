"""Declare what the agent needs of the process around it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Protocol

__all__ = ["Desk", "Reactor", "WorkerHost"]


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
    """The worker around its agent.

    :ivar await_soon: awaits beside requests; ``None`` where no event loop does.
    :ivar holds_thread: who waits holds up its whole thread, as no greenlet does.
    """

    await_soon: Callable[[Awaitable[None]], None] | None
    holds_thread: bool

    def spawn(self, call: Callable[[], None]) -> None:
        """Run ``call`` beside requests; it may block."""

    def call_later(self, seconds: float, call: Callable[[], None]) -> object:
        """Run ``call`` in the loop, after so many seconds; it must not block."""

    def interpose(self, faults: Callable[[str, Callable[[], None], Callable[[], None] | None], None]) -> None:
        """Leave each message, in both directions, to ``faults`` from now on."""

    def interpose_connections(self, faults: Callable[[str, Callable[[], None], Callable[[], None]], None]) -> None:
        """Leave each connection that comes from the primary to ``faults`` from now on."""

    def cut_channel(self) -> None:
        """Close the channel to the primary, as if that had gone."""

    def cut_connections(self) -> None:
        """Break the channel by which connections come."""

    def crash(self, error: BaseException) -> None:
        """Let ``error`` end the worker, as if its main loop had raised it."""

    def stacks(self, frame: FrameType | None) -> str:
        """Return what each greenlet, task or thread is doing; the current one was interrupted in ``frame``."""

    def block(self, seconds: float) -> None:
        """Block the loop of the process, and all that runs on it."""


class Desk(Protocol):
    """Where the primary takes orders."""

    def perform(self, verb: str, *arguments: object) -> object:
        """Carry out ``send``, ``disconnect``, ``scale``, ``reload``, ``status`` or ``end``, say."""
