"""Write a channel's frames: at once, at the end of the turn, when the kernel takes more, or before the end.

Theory of operation
-------------------
A small frame goes straight to the kernel if nothing waits before it; any other joins the queue, and ``write_queue``
says when frames are collected.  Something will write every frame that waits: the end of the turn; the reactor, which
calls when the kernel takes more; or a rest that ends by itself.  Without a reactor each :meth:`ChannelWriter.put` tries
again.

A signal handler may run between any two lines, and send, flush, close or raise.  While the writer is *at work* the
frames of a handler only join the queue, and anything else that it asks for is done when that work ends, also when it
ends by an exception of the handler.  A handler that raises before something will write its own frame leaves that to the
next :meth:`ChannelWriter.put`.  Handlers must not switch greenlets.
"""

from __future__ import annotations

import _socket
import atexit
import errno
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from ..base.reactor import Reactor
from ..errors import ChannelBroken, ClusterError
from ..machine.kept_memory import LEAST_BYTES, keep_memory_for
from .write_queue import BURST_SECONDS, Burst, SendCallback, WriteQueue

__all__ = ["ChannelWriter", "write_collected"]

_SMALL_BYTES: Final = 4096
_BUFFER_OVERHEAD: Final = 64  # see _small_enough()
_REST_SECONDS: Final = 0.05
_EXHAUSTED: Final = frozenset({errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM})
_GONE: Final = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF, *_EXHAUSTED})

_collecting: Final[set[ChannelWriter]] = set()


def write_collected() -> None:
    """Before this process ends: let every channel write what it has collected."""
    for writer in list(_collecting):
        writer.write()


atexit.register(write_collected)


class ChannelWriter:
    """Writes one channel's frames.

    Args:
        sock: the channel's, which does not block.

    Attributes:
        queue: what waits.
        burst: whether frames are sent so fast that they should be collected.
        has_faults: under test: what is put may come late or never; all of it is put here.
    """

    __slots__ = (
        "__dict__",  # under test :meth:`put` is replaced
        "_early",
        "_is_at_work",
        "_is_collecting",
        "_is_resting",
        "_is_watched",
        "_late_end",
        "_late_flush",
        "_open",
        "_reactor",
        "_small_bytes",
        "_sock",
        "_write_by",
        "burst",
        "has_faults",
        "queue",
    )

    def __init__(self, sock: _socket.socket) -> None:
        self.queue = WriteQueue()
        self._sock = sock
        self._small_bytes = _small_enough(sock)
        self.burst = Burst()
        self._reactor: Reactor | None = None
        self._early: list[tuple[SendCallback, ClusterError | None]] = []
        self._open = True
        self.has_faults = False
        self._is_watched = False  # the reactor calls when the kernel takes more
        self._is_resting = False  # the kernel could take nothing a moment ago
        self._is_at_work = False
        self._is_collecting = False
        self._write_by = 0.0
        self._late_flush: float | None = None
        self._late_end: Callable[[], None] | None = None

    def attach(self, reactor: Reactor) -> None:
        """Write through ``reactor`` from now on."""
        self._reactor = reactor
        for callback, outcome in self._early:
            reactor.call_soon(callback, outcome)
        self._early.clear()
        if self.queue.frames:
            self._watch(reactor)

    def tell(self, callback: SendCallback, outcome: ClusterError | None) -> None:
        """Call a sender's callback back on a later turn."""
        if self._reactor is None:
            self._early.append((callback, outcome))
        else:
            self._reactor.call_soon(callback, outcome)

    def put(self, frame: bytes, callback: SendCallback | None, fd: int | None, is_answer: bool = False) -> None:
        """Write a frame, now or when its turn has come; see :meth:`Channel.send <.channel.Channel.send>`."""
        queue, size = self.queue, len(frame)
        if size >= LEAST_BYTES:
            keep_memory_for(size)
        if self._is_watched:
            queue.add(frame, callback, fd, is_answer)
        elif self._is_collecting:
            queue.add(frame, callback, fd, is_answer)
            now = time.monotonic()
            if not self.burst.counts(now) or queue.is_worth_a_write or now > self._write_by:
                self._write_by = now + BURST_SECONDS
                self._work(self._write_all)
        elif self._reactor is not None and self.burst.counts(time.monotonic()):
            queue.add(frame, callback, fd, is_answer)
            self.collect(self._reactor)
        elif queue.frames or fd is not None or size > self._small_bytes or self._is_at_work:
            queue.add(frame, callback, fd, is_answer)
            self._work(self._write_all)
        else:
            self._write_small(frame, size, callback, is_answer)

    def collect(self, reactor: Reactor) -> None:
        """Collect what is put until this turn of the loop ends."""
        reactor.at_turn_end(self.write)
        self._is_collecting = True
        self._write_by = time.monotonic() + BURST_SECONDS
        _collecting.add(self)

    def _write_small(self, frame: bytes, size: int, callback: SendCallback | None, is_answer: bool) -> None:
        """Write a frame that nothing waits before, without the queue, unless the kernel does not take it."""
        written: list[int] = []
        answer = map(self._sock.send, (frame,))
        self._is_at_work = True
        try:
            try:
                written += answer  # C code alone, from the system call to the list: see ``write_queue``
                if written[0] < size:
                    self.queue.add(memoryview(frame)[written[0] :], callback, None, is_answer)
                    callback = None
            except BaseException as error:  # noqa: BLE001 - raised again if a signal handler has raised it
                if not written:  # or the kernel has it: the handler of a signal has raised after the call
                    self.queue.add(frame, callback, None, is_answer)
                self._refused(error)
            finally:
                if self.queue.frames and self._reactor is not None and not self._is_watched:
                    self._watch(self._reactor)
        finally:
            self._is_at_work = False
            if self._late_end is not None or self._late_flush is not None:
                self._catch_up()
        if written and callback is not None:
            self.tell(callback, None)

    def write(self) -> None:
        """Write what the kernel takes now: the turn ends, or the channel, or this process."""
        self._is_collecting = False
        _collecting.discard(self)
        if self._open and self.queue.frames:
            self._work(self._write_all)

    def write_now(self) -> None:
        """Write what the kernel takes now, and go on collecting if that is so."""
        self._work(self._write_all)

    def flush(self, seconds: float) -> None:
        """See :meth:`Channel.flush <.channel.Channel.flush>`."""
        if self._is_at_work:
            self._late_flush = seconds
        elif self.queue.frames and self._open:
            self._work(partial(self._write_all_blocking, seconds))

    def later(self, end: Callable[[], None]) -> bool:
        """Whether somebody is at work; ``end`` is called after that, then."""
        if self._is_at_work:
            self._late_end = end
        return self._is_at_work

    def stop(self, error: ClusterError) -> None:
        """Write no more, before the socket is closed; those who wait hear of it."""
        self._open = False
        if self._reactor is not None:
            self._unwatch(self._reactor)
        self._fail(error)

    def abandon(self) -> None:
        """In a forked child: nothing that waits is the child's to write."""
        self._open = False

    def _work(self, write: Callable[[], None]) -> None:
        """Take from the queue, and then do what signal handlers have asked for meanwhile."""
        if self._is_at_work:
            return  # a handler has sent: the writer that is at work goes on with that
        self._is_at_work = True
        try:
            try:
                write()
            finally:
                if self.queue.frames and self._reactor is not None and not self._is_watched:
                    self._watch(self._reactor)
        finally:
            self._is_at_work = False  # here, and not in a function: a handler may raise before its first line
            if self._late_end is not None or self._late_flush is not None:
                self._catch_up()

    def _catch_up(self) -> None:
        seconds, self._late_flush = self._late_flush, None
        try:
            if seconds is not None:
                self.flush(seconds)
        finally:
            end, self._late_end = self._late_end, None
            if end is not None:
                end()

    def _write_all(self) -> None:
        while self.queue.frames and self._open and not self._is_resting:
            try:
                self.queue.write(self._sock, self.tell)
            except OSError as error:
                self._refused(error)
                if isinstance(error, BlockingIOError):
                    return

    def _refused(self, error: BaseException) -> None:
        """The kernel has taken nothing, or a signal handler has raised."""
        if isinstance(error, BlockingIOError):
            return
        if not isinstance(error, OSError) or error.errno not in _GONE:
            raise error  # the handler's: its TimeoutError, its file that is not there
        if error.errno in _EXHAUSTED and self._reactor is not None:
            self._rest(self._reactor)
        else:  # what the peer sent before it went is still to be read: reading finds the end
            self._fail(ChannelBroken(f"writing to the channel failed: {error}"))

    def _write_all_blocking(self, seconds: float) -> None:
        try:
            self._sock.settimeout(seconds)
            while self.queue.frames:
                self.queue.write(self._sock, self.tell)
        except OSError:
            pass  # the receiver is gone or too slow; this process ends either way
        finally:
            self._sock.settimeout(0)

    def _fail(self, error: ClusterError) -> None:
        for callback in self.queue.clear(self.tell):
            self.tell(callback, error)

    def _writable(self) -> None:
        self._work(self._write_on)

    def _write_on(self) -> None:
        self._write_all()
        if not self.queue.frames and self._reactor is not None and self._open:
            self._unwatch(self._reactor)

    def _watch(self, reactor: Reactor) -> None:
        if self._open and not self._is_resting:
            reactor.add_writer(self._sock.fileno(), self._writable)
            self._is_watched = True

    def _unwatch(self, reactor: Reactor) -> None:
        self._is_watched = False
        reactor.remove_writer(self._sock.fileno())

    def _rest(self, reactor: Reactor) -> None:
        """Too many descriptors are under way, or no memory is left; the socket is still writable: do not spin."""
        reactor.call_later(_REST_SECONDS, self._go_on)
        self._is_resting = True
        self._unwatch(reactor)

    def _go_on(self) -> None:
        self._is_resting = False
        if self.queue.frames and self._reactor is not None:
            self._watch(self._reactor)


def _small_enough(sock: _socket.socket) -> int:
    """Return how long a frame may be that the kernel takes whole or not at all.

    Linux cuts what is longer than half of a Unix socket's buffer (``unix_stream_sendmsg``).  Elsewhere what is cut is
    queued as well, but a signal handler that raises at that very moment would lose the rest.
    """
    return min(_SMALL_BYTES, sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF) // 2 - _BUFFER_OVERHEAD)
