"""Give the agent of a test what it asks of a worker; see :mod:`nodecluster_compat.under_test`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...runtime.gevent_reactor import GeventReactor

__all__ = ["WorkerUnderTest"]


class WorkerUnderTest:
    """A worker, as its agent needs it.

    Args:
        reactor: the runtime's.
        throw: raises an exception in the main greenlet.
    """

    def __init__(self, reactor: GeventReactor, throw: Callable[[BaseException], None]) -> None:
        from ...runtime.greenlet_stacks import blocking_sleep, greenlet_stacks

        self.add_reader, self.remove_reader = reactor.add_reader, reactor.remove_reader
        self.add_writer, self.remove_writer = reactor.add_writer, reactor.remove_writer
        self.spawn: Callable[[Callable[[], None]], None] = reactor.spawn
        self.crash = throw
        self.greenlets = greenlet_stacks
        self.block = blocking_sleep
