"""Read a channel's frames: a slice each turn, so that a peer that floods gets its share of the loop and no more.

Theory of operation
-------------------
A slice ends after so many bytes, so many frames and so much time, whichever comes first: sixteen KiB may be three
thousand frames, and a frame may have a handler.  Frames that are left have their turn next, before anything else is
read.  Who fills slice after slice gets a share of the time (``pace``).  How they are received is in ``frame_receiver``.
"""

from __future__ import annotations

import _socket
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any, Final

from ..base.native import Choice, in_force
from ..base.reactor import Reactor
from ..errors import ClusterError, FrameError
from ..machine.kept_memory import LEAST_BYTES, keep_memory_for
from .frame_receiver import MOST_DESCRIPTORS, FrameReceiver, unread_bytes
from .frames import CARRIES_DESCRIPTOR, Frame, FrameDecoder, FrameKind
from .pace import Pace
from .write_queue import Burst

__all__ = ["SLICE_FRAMES", "SLICE_SECONDS", "ChannelReader"]

SLICE_FRAMES: Final = 128
"""Frames that are passed on in one turn."""

SLICE_SECONDS: Final = 0.001
"""How long that may take; the frame that takes longer is the last one."""


class ChannelReader(FrameReceiver):
    """Reads one channel's frames.

    Args:
        sock: the channel's, which does not block.
        on_frame: called with each frame, in order.
        on_slice: called after each slice of them.
        ended: called when no frame can come any more; it calls :meth:`stop`.
        max_message: the largest message that may come, in bytes once encoded.
        burst: of what is sent; it ends when the other side has said something.
        choice: what reads a slice that is ordinary.

    Attributes:
        on_message: offered the payload of each message that came without a descriptor, before ``on_frame``; returns
            whether it has taken it.  Only C asks.
        on_published: offered frames that publish and came one after the other, as they came; returns whether it has
            taken all of them, and they come to ``on_frame`` otherwise.  Only C asks.
    """

    __slots__ = (
        "_has_turn",
        "_is_paused",
        "_on_frame",
        "_pace",
        "_reactor",
        "_twin",
        "on_message",
        "on_published",
        "on_slice",
    )

    def __init__(
        self,
        sock: _socket.socket,
        on_frame: Callable[[Frame], None],
        on_slice: Callable[[], None] | None,
        ended: Callable[[ClusterError | None], None],
        max_message: int,
        burst: Burst,
        choice: Choice | None = None,
    ) -> None:
        super().__init__(sock, ended, max_message, burst)
        self._twin = _twin(in_force() if choice is None else choice)
        self.on_message: Callable[[bytes], bool] | None = None
        self.on_published: Callable[[bytes], bool] | None = None
        self._on_frame = on_frame
        self.on_slice = on_slice
        self._reactor: Reactor | None = None
        self._pace = Pace(time.monotonic())
        self._has_turn = False  # whether the reactor will deliver more of them
        self._is_paused = False

    def attach(self, reactor: Reactor) -> None:
        """Read through ``reactor`` from now on."""
        self._reactor = reactor
        self._watch(reactor)

    def _watch(self, reactor: Reactor) -> None:
        readable = self.readable if self._twin is None else partial(self._twin.readable, self)
        reactor.add_reader(self._sock.fileno(), readable)

    def pause(self) -> None:
        """Leave what arrives in the kernel, so that the sender feels it."""
        self._is_paused = True
        if self._reactor is not None:
            self._reactor.remove_reader(self._sock.fileno())

    def resume(self) -> None:
        """Undo :meth:`pause`."""
        self._is_paused = False
        if self._reactor is not None:
            self._watch(self._reactor)
            self._go_on_later()

    def drain(self) -> None:
        """Deliver what a peer that is dead had written, and find the end behind it.

        No more than is there now: a process of the peer's may have inherited its end and go on writing.
        """
        self._deliver_all()
        left = -1 if self._has_stopped else unread_bytes(self._sock)
        while left >= 0 and (size := self._receive()):
            left -= size
            self._deliver_all()

    def _deliver_all(self) -> None:
        self._deliver_only()
        while self._frames is not None:
            self._deliver()

    def _deliver(self) -> None:
        if self._twin is None:
            self.deliver()
        else:
            self._twin.deliver(self)

    def stop(self) -> None:
        """Read no more, and close the descriptors that no frame has claimed."""
        self.abandon()
        if self._reactor is not None:
            self._reactor.remove_reader(self._sock.fileno())
        self._close_descriptors()

    def abandon(self) -> None:
        """In a forked child: read no more."""
        self._has_stopped = True
        self._frames = self._only = None
        self.on_slice = self.on_message = self.on_published = None
        self._on_frame = self.ended = _ignore  # the channel can be freed without a search for cycles

    def readable(self) -> None:
        """Read a slice, and deliver what is in it."""
        if self._frames is None and (self._only is not None or self._receive()):
            if self._only is not None:
                self._deliver_only()
                if self.on_slice is not None:
                    self.on_slice()
            else:
                self.go_on()

    def go_on(self) -> None:
        """Deliver the frames of one slice, and see to it that the rest of them has its turn."""
        self._has_turn = False
        if self._frames is None or self._is_paused:
            return
        started = time.thread_time() if self._is_full else 0.0
        try:
            self._deliver()
        finally:
            rest = self._pace.spend(time.thread_time() - started, time.monotonic()) if self._is_full else 0.0
            if rest:
                self._rest(rest)
            else:
                self._go_on_later()
        if self.on_slice is not None:
            self.on_slice()

    def _go_on_later(self) -> None:
        if self._frames is not None and self._reactor is not None and not self._has_turn:
            self._has_turn = True
            self._reactor.at_turn_end(self.go_on)

    def _rest(self, seconds: float) -> None:
        if self._reactor is not None and not self._has_stopped:
            self._has_turn = True
            self._reactor.remove_reader(self._sock.fileno())
            self._reactor.call_later(seconds, self._rested)

    def _rested(self) -> None:
        if self._reactor is not None and not self._has_stopped and not self._is_paused:
            self._watch(self._reactor)
        self.go_on()

    def _deliver_only(self) -> None:
        """Pass on the frame that has come alone, if there is one."""
        frame, self._only = self._only, None
        if frame is not None:
            try:
                self._on_frame(self.with_descriptor(frame) if frame.kind in CARRIES_DESCRIPTOR else frame)
            except FrameError as error:
                self.ended(error)

    def deliver(self) -> None:
        """Pass received frames on, as many as one slice has."""
        assert self._frames is not None
        until = time.monotonic() + SLICE_SECONDS
        try:
            for count, frame in enumerate(self._frames, 1):
                self._on_frame(self.with_descriptor(frame) if frame.kind in CARRIES_DESCRIPTOR else frame)
                if self._has_stopped:
                    return
                if count >= SLICE_FRAMES or time.monotonic() > until:
                    return
            self._frames = None
        except FrameError as error:
            self.ended(error)


def _ignore(_: object) -> None:
    """Nobody listens any more."""


@cache
def _twin(choice: Choice) -> Any:  # noqa: ANN401 - the extension has no types
    """Return what C has in common for all readers of a process; ``None``: Python reads."""
    if choice.module is None:
        return None
    return choice.module.Reading(
        reader=ChannelReader,
        decoder=FrameDecoder,
        burst=Burst,
        frame=Frame,
        error=FrameError,
        kinds=tuple(FrameKind),
        carrying=CARRIES_DESCRIPTOR,
        frames=SLICE_FRAMES,
        descriptors=MOST_DESCRIPTORS,
        seconds=SLICE_SECONDS,
        keep_memory=keep_memory_for,
        least_kept=LEAST_BYTES,
    )
