"""Serve one client of the control socket: gunicorn's protocol, read and written by callbacks of the loop.

    message = length (4 bytes, big endian) · JSON object

A client sends ``{"id": 1, "command": "show workers", "args": []}`` and gets one answer for each, in order.  Only one
command of a client is under way, and nothing is read from one that does not read its answer: so a client takes little
memory, whatever it does.
"""

from __future__ import annotations

import _socket
import json
import struct
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ...base.loop import Loop

__all__ = ["ControlClient"]

IDLE_SECONDS: Final = 300.0
"""A client that says nothing for so long is sent away; gunicorn's."""

_HEADER: Final = struct.Struct(">I")
_MOST_BYTES: Final = 64 * 1024  # of one command; gunicorn's longest has thirty
_READ_BYTES: Final = 4096

Answer = Callable[[dict[str, Any]], None]


class ControlClient:
    """One client.

    Args:
        sock: its connection.
        loop: the arbiter's.
        carry_out: called with a command as it was decoded, and with what is to be called with the answer.
        gone: called once it is closed.
    """

    def __init__(
        self,
        sock: _socket.socket,
        loop: Loop,
        carry_out: Callable[[dict[str, Any], Answer], None],
        gone: Callable[[ControlClient], None],
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = loop
        self._carry_out = carry_out
        self._gone = gone
        self._received = b""
        self._to_send = b""
        self._is_open = True
        self._last_heard = time.monotonic()
        loop.add_reader(sock.fileno(), self._readable)
        self._idle_timer = loop.call_later(IDLE_SECONDS, self._close_if_idle)

    def close(self) -> None:
        """Send it away."""
        if self._is_open:
            self._is_open = False
            self._idle_timer.cancel()
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
        self._last_heard = time.monotonic()
        self._received += data
        self._loop.remove_reader(self._sock.fileno())
        self._go_on()

    def _go_on(self) -> None:
        """Carry out the first command of those that have come; when none is complete, read on."""
        if not self._is_open:
            return
        has_header = len(self._received) >= _HEADER.size
        end = _HEADER.size + (_HEADER.unpack_from(self._received)[0] if has_header else 0)
        if end > _MOST_BYTES:
            self.close()
        elif not has_header or len(self._received) < end:
            self._loop.add_reader(self._sock.fileno(), self._readable)
        else:
            command, self._received = self._received[_HEADER.size : end], self._received[end:]
            try:
                self._carry_out(_decoded(command), self._answer)
            except ValueError:  # as gunicorn's: no answer to what is no command
                self.close()

    # --- answering -----------------------------------------------------------------------------

    def _answer(self, answer: dict[str, Any]) -> None:
        """Write at once, as much as is taken: the command may have been to end the server."""
        if self._is_open:
            payload = json.dumps(answer).encode()
            self._to_send = _HEADER.pack(len(payload)) + payload
            self._loop.add_writer(self._sock.fileno(), self._writable)
            self._writable()

    def _writable(self) -> None:
        try:
            self._to_send = self._to_send[self._sock.send(self._to_send) :]
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if not self._to_send:
            self._loop.remove_writer(self._sock.fileno())
            self._loop.call_soon(self._go_on)

    def _close_if_idle(self) -> None:
        if not self._is_open:
            return
        left = self._last_heard + IDLE_SECONDS - time.monotonic()
        if left > 0:
            self._idle_timer = self._loop.call_later(left, self._close_if_idle)
        else:
            self.close()


def _decoded(payload: bytes) -> dict[str, Any]:
    """Return a command.

    Raises:
        ValueError: it is none.
    """
    command = json.loads(payload)
    if not isinstance(command, dict) or not isinstance(command.get("command", ""), str):
        raise ValueError("expected a JSON object with a command")
    return command
