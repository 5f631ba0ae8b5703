"""End a connection of HTTP/2 when its client has read all that was sent, so that nothing of it is lost.

A client of HTTP/2 nearly always says more than is read: acknowledgements, windows, pings.  A socket that is closed with
that unread resets its client, and what is under way is lost.  asyncio also throws away what it has encrypted if a
client says anything after the goodbye of TLS.  So a PING follows the last frames: a client that acknowledges it has
read everything before it.  Until then what comes is thrown away, within limits.

Clients that pool connections read nothing until they want to use one again.  They are not waited for once their host
has all: what has arrived there a reset does not take away.  A client is silent only while its host takes nothing,
either: one that reads slowly may say nothing for seconds, and then something.
"""

from __future__ import annotations

import os
from asyncio import StreamReader, wait_for
from asyncio import TimeoutError as Late
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

__all__ = ["PING", "KeptTransport", "wait_until_read"]

_PING: Final = b"\0\0\x08\x06\0\0\0\0\0"
PING: Final = _PING + b"finished"
"""A frame that says nothing."""
_ACKNOWLEDGED: Final = b"\0\0\x08\x06\x01\0\0\0\0"
_OPAQUE_BYTES: Final = 8
_PIECE_BYTES: Final = 64 * 1024
_LOOK_SECONDS: Final = 0.25
_SILENT_LOOKS: Final = 8  # two seconds and ten, as in gevent_runtime.lingering
_SECONDS: Final = 10.0


class KeptTransport:
    """A transport that its users cannot close.

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


async def wait_until_read(
    reader: StreamReader,
    transport: Any,  # noqa: ANN401 - of any loop
    read_on: Callable[[], None],
    unarrived: Callable[[], int],
) -> None:
    """Wait until a client has read the last frames, has ended the connection, or has had time enough.

    Args:
        reader: has what the client says.
        transport: of any loop; the last frames were written to it.
        read_on: called before something is taken from the reader, which may be too full.
        unarrived: asked of a client that says nothing: how many bytes its host does not have yet.
    """
    if reader.at_eof() or transport.is_closing():
        return
    opaque = os.urandom(_OPAQUE_BYTES)
    transport.write(_PING + opaque)
    answer, heard = _ACKNOWLEDGED + opaque, b""
    end, silent, left = monotonic() + _SECONDS, 0, 0
    while answer not in heard and monotonic() < end:
        read_on()
        try:
            said = await wait_for(reader.read(_PIECE_BYTES), _LOOK_SECONDS)
        except Late:
            before, left = left, unarrived()
            silent = silent + 1 if left >= before else 0
            if silent >= _SILENT_LOOKS or not left:
                return
        else:
            if not said:
                return
            heard, silent = heard[-len(answer) :] + said, 0
