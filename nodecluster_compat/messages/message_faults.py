"""Delay, drop and reorder messages, for tests.

Only a process under test ever has such faults, and only from when a test asks for one: see
:mod:`nodecluster_compat.under_test`.  What the runtime says for itself (``online``, ``listening``, ``disconnect``) is
spared.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from ..errors import ChannelClosed, ClusterError
from .frames import HEADER, Frame, FrameKind

if TYPE_CHECKING:
    from .write_queue import SendCallback

__all__ = ["APPLICATION_KINDS", "MessageFaults", "handled_by_faults", "put_by_faults"]

_KIND_AT: Final = HEADER.size - 1

APPLICATION_KINDS: Final = frozenset(
    {
        FrameKind.MESSAGE,
        FrameKind.HANDLE,
        FrameKind.REQUEST,
        FrameKind.REPLY,
        FrameKind.PUBLISH,
        FrameKind.CALL,
        FrameKind.RETURN,
    }
)
"""The kinds that carry something of the application's."""


class MessageFaults(Protocol):
    """A fault of messages: decides what happens to each on its way, in both directions."""

    def __call__(
        self, step: Literal["receive", "send"], pass_on: Callable[[], None], lose: Callable[[], None] | None
    ) -> None:
        """Take a message: call ``pass_on`` or ``lose``, now, or later in the loop with the lock held.

        Args:
            step: whether it has come to this process, or leaves it.
            pass_on: lets it go on.
            lose: forgets it; ``None`` where its sender waits for word of the descriptor that goes with it.
        """


class Put(Protocol):
    """Puts a frame into the queue of a channel."""

    def __call__(self, frame: bytes, callback: SendCallback | None, fd: int | None, is_answer: bool = False) -> None:
        """See :meth:`~nodecluster_compat.messages.writer.ChannelWriter.put`."""


def put_by_faults(
    faults: MessageFaults,
    put: Put,
    is_open: Callable[[], bool],
    tell: Callable[[SendCallback, ClusterError | None], None],
) -> Put:
    """Return what stands in for ``put``: a frame of the application's goes into the queue when its fault lets it.

    Args:
        faults: decide.
        put: that of the channel.
        is_open: whether anything can still be written.
        tell: tells who sent a message what became of it.
    """

    def put_later(frame: bytes, callback: SendCallback | None, fd: int | None, is_answer: bool = False) -> None:
        def told(outcome: ClusterError | None) -> None:
            if callback is not None:
                tell(callback, outcome)

        def pass_on() -> None:
            if is_open():
                put(frame, callback, fd, is_answer)
            else:
                told(ChannelClosed("the channel was closed before the message was written"))

        if frame[_KIND_AT] in APPLICATION_KINDS:
            faults("send", pass_on, None if fd is not None else partial(told, None))
        else:
            put(frame, callback, fd, is_answer)

    return put_later


def handled_by_faults(
    faults: MessageFaults, handled: Callable[[], None], handler: Callable[[Any, Frame], None]
) -> Callable[[Any, Frame], None]:
    """Return what stands in for ``handler``: it gets a frame when its fault lets that come.

    Args:
        faults: decide.
        handled: called after each, because the slice that it came with may have ended long ago.
        handler: of frames of one kind.
    """

    def handle(sender: object, frame: Frame) -> None:
        def pass_on() -> None:
            handler(sender, frame)
            handled()

        faults("receive", pass_on, None if frame.kind is FrameKind.HANDLE else lambda: None)

    return handle
