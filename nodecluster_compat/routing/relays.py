"""Know what the relays of a worker carry, and break those whose clients come back by themselves when it leaves.  Pure.

Through TLS a connection that belongs to another worker stays, and is relayed.  When the worker that relays leaves, a
request that is under way has the time of the drain, as everywhere.  A session of Engine.IO would hold it up for as long
as its client likes, although that begins again at once wherever its connection breaks: so it is broken, as sessions of
the worker's own are (``socketio.moving``).

    up, down ──▶ Carried ──the request is one of Engine.IO, and the worker leaves──▶ end
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from .head import MOST_BYTES, first_line_ends
from .proxy_header import proxy_header_bytes

__all__ = ["Carried", "Relays"]

_OF_ENGINEIO: Final = re.compile(rb"[\r\n]*[!-~]+ [!-~]*[?&]EIO=[!-~]* ")
_IS_WEBSOCKET: Final = re.compile(rb"[^\n]*[?&]transport=websocket[& ]")


class Relays:
    """The relays of one worker.

    Attributes:
        is_leaving: whether the worker leaves.
    """

    def __init__(self) -> None:
        self.is_leaving = False
        self._all: set[Carried] = set()

    def carry(self, early: bytes | bytearray, end: Callable[[], None]) -> Carried:
        """A relay begins; return what notes what it carries.

        Args:
            early: what was read of the request that it begins with.
            end: breaks the relay, soon; it may be called more than once, and in any thread.
        """
        carried = Carried(self, end)
        self._all.add(carried)
        carried.up(early[proxy_header_bytes(early) or 0 :])
        return carried

    def ended(self, carried: Carried) -> None:
        """A relay has ended; it may be said again."""
        self._all.discard(carried)

    def leave(self) -> None:
        """The worker leaves: break what can be broken, now and from now on."""
        self.is_leaving = True
        for carried in list(self._all):
            carried.worker_leaves()


class Carried:
    """What one relay carries: made by :meth:`Relays.carry`, and told all that it copies.

    Args:
        relays: of its worker.
        end: see there.

    Attributes:
        comes_back: whether the client does so by itself when this is broken: the request is one of Engine.IO.
    """

    __slots__ = ("_end", "_head", "_is_answered", "_is_websocket", "_relays", "comes_back")

    def __init__(self, relays: Relays, end: Callable[[], None]) -> None:
        self.comes_back = False
        self._relays = relays
        self._end = end
        self._head: bytes | None = b""  # of a request whose first line is not whole; afterwards nothing
        self._is_answered = False
        self._is_websocket = False

    def up(self, data: bytes | bytearray) -> None:
        """The client has sent something: after an answer it begins another request."""
        if self._is_answered and not self._is_websocket:
            self._is_answered, self._head, self.comes_back = False, b"", False
        if self._head is not None:
            self._read(self._head + data[:MOST_BYTES])

    def down(self, _: bytes) -> None:
        """The other worker has answered something."""
        self._is_answered = True

    def _read(self, head: bytes) -> None:
        self._head = head
        if first_line_ends(head) or len(head) >= MOST_BYTES:
            self._head = None
            self.comes_back = _OF_ENGINEIO.match(head) is not None
            self._is_websocket = self.comes_back and _IS_WEBSOCKET.match(head) is not None
            if self._relays.is_leaving:
                self.worker_leaves()

    def worker_leaves(self) -> None:
        """See :meth:`Relays.leave`."""
        if self.comes_back:
            self._end()

    def ended(self) -> None:
        """The relay has ended; it may be said again."""
        self._relays.ended(self)
