"""Give the agent of a test what it asks of a worker; see :mod:`nodecluster_compat.under_test`."""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from ...roles.worker_runtime import Runtime
    from ..arbiter.birth import Birth

__all__ = ["Examined", "WorkerUnderTest"]


class Examined(Protocol):
    """An engine as a test examines it and acts on it.

    Attributes:
        holds_thread: who waits holds up its whole thread, as no greenlet does.
    """

    holds_thread: ClassVar[bool]

    def stacks(self, frame: FrameType | None) -> str:
        """Return what each greenlet, task or thread is doing; the current one was interrupted in ``frame``."""

    def block(self, seconds: float) -> None:
        """Block the loop, and with it all that the engine runs on its thread."""


class WorkerUnderTest:
    """A worker, as its agent needs it.

    Args:
        runtime: of its kind.
        engine: of its kind.
        throw: raises an exception in the main greenlet or thread.
        birth: what the worker was born with.
    """

    def __init__(
        self, runtime: Runtime, engine: Examined, throw: Callable[[BaseException], None], birth: Birth
    ) -> None:
        self.add_reader, self.remove_reader = runtime.add_reader, runtime.remove_reader
        self.add_writer, self.remove_writer = runtime.add_writer, runtime.remove_writer
        self.spawn: Callable[[Callable[[], None]], None] = runtime.spawn
        self.call_later: Callable[[float, Callable[[], None]], object] = runtime.call_later
        self.interpose, self.cut_channel = birth.member.interpose, birth.member.lose_channel
        self.interpose_connections, self.cut_connections = birth.interpose, birth.cut_connections
        self.crash = throw
        self.await_soon = getattr(runtime, "await_soon", None)  # of an engine with an event loop
        self.holds_thread = engine.holds_thread
        self.stacks = engine.stacks
        self.block = engine.block
