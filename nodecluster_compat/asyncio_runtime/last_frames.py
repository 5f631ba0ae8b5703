"""End a connection of HTTP/2 when its client has read all that was sent, so that nothing of it is lost.

A client of HTTP/2 nearly always says more than is read: acknowledgements, windows, pings.  A socket that is closed with
that unread resets its client, and what is under way is lost.  asyncio also throws away what it has encrypted if a
client says anything after the goodbye of TLS.  So a PING follows the last frames: whoever acknowledges it has read
everything before it.  Until then what comes is thrown away, within limits.
"""

from __future__ import annotations

import os
from asyncio import StreamReader, wait_for
from asyncio import TimeoutError as Late
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, Final

__all__ = ["PING", "KeptTransport", "wait_until_read"]

_PING: Final = b"\0\0\x08\x06\0\0\0\0\0"
PING: Final = _PING + b"finished"
"""A frame that every client acknowledges."""
_ACKNOWLEDGED: Final = b"\0\0\x08\x06\x01\0\0\0\0"
_OPAQUE_BYTES: Final = 8
_PIECE_BYTES: Final = 64 * 1024
_SILENT_SECONDS: Final = 2.0  # as in gevent_runtime.lingering
_SECONDS: Final = 10.0


class KeptTransport:
    """A transport that whoever has it cannot close.

    Args:
        transport: the real one.
    """

    def __init__(self, transport: Any) -> None:  # noqa: ANN401 - of any loop
        self._transport = transport
        self._is_closed = False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a transport has
        return getattr(self._transport, name)

    def close(self) -> None:
        """Replaces the transport's: only say that it is closed."""
        self._is_closed = True

    def is_closing(self) -> bool:
        """Whether it was closed, here or for all."""
        return self._is_closed or bool(self._transport.is_closing())


async def wait_until_read(reader: StreamReader, transport: Any, read_on: Callable[[], None]) -> None:  # noqa: ANN401
    """Wait until a client has read the last frames, has ended the connection, or has had time enough.

    Args:
        reader: has what the client says.
        transport: of any loop; the last frames were written to it.
        read_on: called when something was taken from the reader, which may have been too full.
    """
    if reader.at_eof() or transport.is_closing():
        return
    opaque = os.urandom(_OPAQUE_BYTES)
    transport.write(_PING + opaque)
    answer, heard, end = _ACKNOWLEDGED + opaque, b"", monotonic() + _SECONDS
    with suppress(Late, OSError):
        while answer not in heard:
            read_on()
            said = await wait_for(reader.read(_PIECE_BYTES), min(_SILENT_SECONDS, end - monotonic()))
            if not said:
                return
            heard = heard[-len(answer) :] + said
