"""Queue a worker's packets to the primary while the connection channel is full.

The kernel keeps some 140 packets of a worker that the primary has not read.  A worker that routes may have more at
once: behind a proxy that keeps connections each request may belong to another worker, and a busy machine lets the
primary wait for a processor.  What does not fit waits here, in its order, with descriptors of its own, until the
channel is writable again.

    send ──fits──▶ the channel
      └── full ──▶ waits ──writable──▶ the channel
                     └── the channel is broken ──▶ closed

Any thread may send; the reactor's own sends what waits.
"""

from __future__ import annotations

import _socket
import errno
import os
import select
import struct
import time
from collections import deque
from typing import Final, TypeAlias

from ..base.loop import original
from ..base.reactor import Reactor

__all__ = ["Outbound"]

_FULL: Final = (errno.EAGAIN, errno.EWOULDBLOCK)
_SHORT: Final = (errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM)  # of descriptors under way, of memory
_PAUSE: Final = 0.02
_LAST_SECONDS: Final = 1.0

_Waiting: TypeAlias = "tuple[bytes, tuple[int, ...]]"


class Outbound:
    """Sends packets over a worker's connection channel.

    Args:
        sock: the worker's end, which does not block; it stays the caller's.
    """

    def __init__(self, sock: _socket.socket) -> None:
        self._sock = sock
        self._reactor: Reactor | None = None
        self._waiting: deque[_Waiting] = deque()
        self._is_watched = False  # whether what waits is seen to

    def attach(self, reactor: Reactor) -> None:
        """Let what does not fit wait, from now on."""
        self._reactor = reactor

    def send(self, packet: bytes, fds: tuple[int, ...] = ()) -> bool:
        """Send a packet with descriptors beside it, which stay the caller's; ``False``: the primary never has it."""
        if self._waiting:
            return self._keep(packet, fds)
        try:
            self._send(packet, fds)
        except OSError as error:
            return error.errno in (*_FULL, *_SHORT) and self._keep(packet, fds)
        return True

    def close(self) -> None:
        """Send what waits, if the primary takes it within a second; close it otherwise.  Blocks."""
        writable = original("select", "poll")()
        writable.register(self._sock.fileno(), select.POLLOUT)
        last = time.monotonic() + _LAST_SECONDS
        while self._waiting and self._send_waiting() is not None and (left := last - time.monotonic()) > 0:
            writable.poll(left * 1000)
        self._watch_no_more()
        self._reactor = None
        self.abandon()

    def abandon(self) -> None:
        """Close the descriptors of what waits."""
        while self._waiting:
            _close_all(self._waiting.popleft()[1])

    def _send(self, packet: bytes, fds: tuple[int, ...]) -> None:
        beside = ((_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds)),) if fds else ()
        self._sock.sendmsg((packet,), beside)

    def _keep(self, packet: bytes, fds: tuple[int, ...]) -> bool:
        if self._reactor is None:
            return False
        own: list[int] = []
        try:
            for fd in fds:
                own.append(os.dup(fd))  # noqa: PERF401 - those before a failure are closed
            self._waiting.append((packet, tuple(own)))
        except (OSError, MemoryError):
            _close_all(own)
            return False
        self._see_to_it(self._reactor, 0)
        return True

    def _see_to_it(self, reactor: Reactor, seconds: float) -> None:
        if not self._is_watched:
            self._is_watched = True
            reactor.call_later(seconds, self._watch)  # in its thread, where alone descriptors may be watched

    def _watch(self) -> None:
        if self._reactor is not None and self._waiting:
            self._reactor.add_writer(self._sock.fileno(), self._go_on)
        else:
            self._is_watched = False

    def _go_on(self) -> None:
        """The channel is writable, or broken."""
        code = self._send_waiting()
        if code in _FULL:
            return
        self._watch_no_more()
        if code is None:
            self.abandon()
        elif self._waiting and self._reactor is not None:  # a thread has sent meanwhile, or the kernel is short
            self._see_to_it(self._reactor, _PAUSE if code else 0)

    def _send_waiting(self) -> int | None:
        """Send what fits; return why no more does, 0 where nothing is left, ``None`` where the primary is gone."""
        while self._waiting:
            packet, fds = self._waiting[0]
            try:
                self._send(packet, fds)
            except OSError as error:
                return error.errno if error.errno in (*_FULL, *_SHORT) else None
            self._waiting.popleft()
            _close_all(fds)
        return 0

    def _watch_no_more(self) -> None:
        if self._reactor is not None:
            self._reactor.remove_writer(self._sock.fileno())
        self._is_watched = False


def _close_all(fds: tuple[int, ...] | list[int]) -> None:
    for fd in fds:
        _socket.close(fd)
