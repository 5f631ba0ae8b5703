"""Relay an encrypted connection to the worker that it belongs to: TLS ends here, and its session cannot move.

The other worker has one end of a pair of sockets, and sees an ordinary connection there.  Between the other end and the
client bytes are copied in both directions, no faster than the slower side reads, until one of them has ended.

A worker that answers before it has read everything, and closes, has its answer relayed: the loop reads no more where it
could not write, so the rest is read here.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from .opening import Opener

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..routing.relays import Relays

__all__ = ["Relay"]

_MOST_LEFT: Final = 1024 * 1024
"""More bytes than a pair of sockets holds."""


class Relay(asyncio.Protocol):
    """The near end of a pair of sockets: the far one goes to the other worker.

    Args:
        relays: of this worker.
        early: what was read of the first request.
        close: called when the other worker has ended: close the client's connection.

    Raises:
        OSError: no descriptors are left.
    """

    def __init__(self, relays: Relays, early: bytes, close: Callable[[], None]) -> None:
        self._near, self._far = socket.socketpair()
        self._client: asyncio.Transport
        self._transport: asyncio.Transport | None = None
        self._early = b""
        self._is_broken = False
        self._close = close
        self._carried = relays.carry(early, self.end)

    @property
    def family(self) -> int:
        """Of both sockets."""
        return int(self._far.family)

    def fileno(self) -> int:
        """Return the descriptor of the far socket."""
        return self._far.fileno()

    def give_up(self) -> None:
        """Close both: nothing is relayed."""
        self._carried.ended()
        self._far.close()
        self._near.close()

    def end(self) -> None:
        """Break it: what the other worker has said goes to the client, and then the connection ends."""
        self._is_broken = True
        if self._transport is not None:
            self._transport.abort()

    def begin(self, loop: asyncio.AbstractEventLoop, client: asyncio.Transport) -> None:
        """Relay what comes from ``client``, and what goes to it, from now on."""
        self._far.close()
        self._client = client
        client.pause_reading()
        family = int(self._near.family)
        Opener(loop, None, 0).open(family, self._near.detach(), self, self.connection_lost)

    # --- what the client sends -----------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """The client has sent something."""
        self._carried.up(data)
        if self._transport is None:
            self._early += data
        elif not self._transport.is_closing():
            self._transport.write(data)

    def client_lost(self) -> None:
        """The client has ended."""
        self._carried.ended()
        if self._transport is not None:
            self._transport.close()
        else:
            self._near.close()

    def pause(self, is_full: bool) -> None:
        """The client reads slowly, or no longer so."""
        if self._transport is not None:
            with suppress(RuntimeError):
                (self._transport.pause_reading if is_full else self._transport.resume_reading)()

    # --- what the other worker sends -----------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The near socket is open."""
        self._transport = transport  # type: ignore[assignment]  # of a socket
        if self._client.is_closing() or self._is_broken:
            transport.close()
            return
        if self._early:
            transport.write(self._early)  # type: ignore[attr-defined]  # as above
        self._client.resume_reading()

    def data_received(self, data: bytes) -> None:
        """The other worker has sent something."""
        self._carried.down(data)
        self._client.write(data)

    def pause_writing(self) -> None:
        """The other worker reads slowly."""
        with suppress(RuntimeError):
            self._client.pause_reading()

    def resume_writing(self) -> None:
        """It no longer does."""
        with suppress(RuntimeError):
            self._client.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended, or could not begin."""
        self._carried.ended()
        if self._transport is not None and not self._client.is_closing():
            self._tell_rest(self._transport.get_extra_info("socket").fileno())
        self._close()

    def _tell_rest(self, fd: int) -> None:
        """Send what the other worker has said before its end: the descriptor is closed only after this."""
        with suppress(OSError):
            if rest := os.read(fd, _MOST_LEFT):
                self.data_received(rest)
