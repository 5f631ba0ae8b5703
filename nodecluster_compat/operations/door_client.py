"""Serve one client of the control socket, by callbacks of the loop.

    reading ──a whole request──▶ waiting ──its turn──▶ answering ──▶ writing ──▶ reading, or gone

Only one request of a client is under way, and nothing is read meanwhile: so a client takes little memory, whatever it
does.  Each state but *answering* has a limit of time.
"""

from __future__ import annotations

import _socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .control_frames import Parsed, first_request

if TYPE_CHECKING:
    from ..base.loop import Loop

__all__ = ["DoorClient"]

IDLE_SECONDS: Final = 300.0
"""A client that says nothing for so long is sent away; gunicorn's."""

HALF_SECONDS: Final = 30.0
"""So long may a request take to come, and an answer to be taken."""

_READ_BYTES: Final = 16 * 1024


class DoorClient:
    """One client.

    Args:
        sock: its connection.
        loop: the primary's.
        ready: called when a request of it is complete; :meth:`take_request` is to be called then, in due time.
        gone: called once it is closed.

    Attributes:
        deadline: when it is sent away unless it does something.
        is_busy: whether a request of it waits or is being answered.
    """

    def __init__(
        self,
        sock: _socket.socket,
        loop: Loop,
        ready: Callable[[DoorClient], None],
        gone: Callable[[DoorClient], None],
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = loop
        self._ready = ready
        self._gone = gone
        self._received = b""
        self._request: Parsed | None = None
        self._to_send = memoryview(b"")
        self._closes = False
        self._is_open = True
        self.is_busy = False
        self.last_active = time.monotonic()
        self.deadline = self.last_active + IDLE_SECONDS
        loop.add_reader(sock.fileno(), self._readable)

    def close(self) -> None:
        """Send it away."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._sock.fileno())
            self._loop.remove_writer(self._sock.fileno())
            self._sock.close()
            self._gone(self)

    def abandon(self) -> None:
        """In a forked child: it is the parent's client."""
        self._is_open = False
        self._sock.close()

    # --- reading -------------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            data = self._sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self.last_active = time.monotonic()
        self._received += data
        self._loop.remove_reader(self._sock.fileno())
        self._look()

    def _look(self) -> None:
        """Find the first request in what has come; when none is complete, read on."""
        found = first_request(self._received)
        if found is None:
            # Not put off by what comes: a client that sends a byte a minute is as bad as a mute one.
            limit = HALF_SECONDS if self._received else IDLE_SECONDS
            self.deadline = min(self.deadline, time.monotonic() + limit) if self._received else self._later(limit)
            self._loop.add_reader(self._sock.fileno(), self._readable)
            return
        self._request, self._received = found
        self.deadline = float("inf")
        self.is_busy = True
        self._ready(self)

    def take_request(self) -> Parsed | None:
        """Return the request that waits; ``None`` when the client has gone meanwhile."""
        request, self._request = self._request, None
        return request if self._is_open else None

    # --- answering -----------------------------------------------------------------------------

    def answer(self, answer: bytes, *, closes: bool = False) -> None:
        """Write at once, as much as is taken: the command may have been to end the server.

        Args:
            answer: what is sent.
            closes: whether the client is sent away after it.
        """
        if self._is_open:
            self._to_send, self._closes, self.is_busy = memoryview(answer), closes, False
            self.deadline = self._later(HALF_SECONDS)
            self._writable()
            if self._to_send and self._sock.fileno() >= 0:  # not closed by that
                self._loop.add_writer(self._sock.fileno(), self._writable)

    def _writable(self) -> None:
        try:
            self._to_send = self._to_send[self._sock.send(self._to_send) :]
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if self._to_send:
            return
        self._loop.remove_writer(self._sock.fileno())
        if self._closes:
            self.close()
        else:
            self.deadline = self._later(IDLE_SECONDS)
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._is_open:
            self._look()

    @staticmethod
    def _later(seconds: float) -> float:
        return time.monotonic() + seconds
