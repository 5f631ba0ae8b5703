"""End the connections of a thread worker: at once as a rule, and else without holding up anybody.

* A connection whose client may still be sending lingers after its last answer: closed at once, it would be reset, and
  the client might lose the answer (gunicorn 26.2 and 27 wait for such a client in the main thread, for 2 s in all).
* A websocket is shut, and closed later, where nobody waits for it (:mod:`.ended_websockets`).
* One that belongs to another worker is let go; through TLS it is relayed, and counts until that has ended.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final

from ....machine.unarrived import unarrived
from .arrived_bytes import has_ended, may_still_send
from .ended_websockets import EndedWebsockets, is_websocket, shut

if TYPE_CHECKING:
    from ....thread_runtime.poller import Poller
    from ...requests.metering import Metering
    from .client_connection import ClientConnection
    from .client_waits import ClientWaits, Waiting

__all__ = ["ConnectionEnds"]

_SILENT_SECONDS: Final = 2.0  # as in gevent_runtime.lingering, and ten in all
_TALKING_SECONDS: Final = 8.0


class ConnectionEnds:
    """The ends of one worker's connections; all of it is the main thread's, but for :meth:`close`.

    Args:
        poller: of the main thread.
        waits: by which connections wait for their clients.
        metering: counts them.
        changed: called when a connection has ended.

    Attributes:
        lingering: what waits for the end of its client, and until when.
        relayed: what another worker serves through this one.
        websockets: those that have ended, and are not closed yet.
    """

    def __init__(self, poller: Poller, waits: ClientWaits, metering: Metering, changed: Callable[[], None]) -> None:
        self.lingering: Waiting = {}
        self.relayed: dict[ClientConnection, None] = {}
        self.websockets = EndedWebsockets()
        self._poller = poller
        self._waits = waits
        self._metering = metering
        self._changed = changed

    def end(self, conn: ClientConnection) -> None:
        """End a connection that has had its last answer."""
        if not is_websocket(conn) and may_still_send(conn):
            self._linger(conn)
        else:
            self.close(conn)

    def close(self, conn: ClientConnection) -> None:
        """Close it at once; may be called by the thread that has answered."""
        self._metering.close(conn)
        if is_websocket(conn):
            self.websockets.end(conn.sock)
            return
        if not (conn.is_handed_on or conn.is_taken_over):
            shut(conn.sock, socket.SHUT_RDWR)  # a thread of the application's may be reading, and hold up the end
        with suppress(OSError):
            conn.sock.close()

    def hand_over(self, conn: ClientConnection) -> None:
        """Let go of a connection that belongs to another worker."""
        if conn.relay is None:
            self.close(conn)
            return
        self.relayed[conn] = None
        try:
            conn.relay.begin(conn.sock, partial(self._poller.defer, self._relay_ended, conn))
        except RuntimeError:
            conn.relay.give_up()
            self._relay_ended(conn)

    def _relay_ended(self, conn: ClientConnection) -> None:
        self.relayed.pop(conn, None)
        self.close(conn)
        self._changed()

    def _linger(self, conn: ClientConnection) -> None:
        """Say that nothing more comes, and take what the client still sends."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close(conn)
            return
        conn.unarrived_bytes = unarrived(conn.sock.fileno())
        conn.may_say_until = monotonic() + _TALKING_SECONDS
        self._waits.begin(conn, self.lingering, _SILENT_SECONDS, partial(self._discard, conn))

    def _discard(self, conn: ClientConnection) -> None:
        if has_ended(conn):
            self._waits.end(conn, self.lingering)
            self.close(conn)
            self._changed()
        else:
            self._is_given_more(conn)

    def is_read_on(self, conn: ClientConnection) -> bool:
        """Return whether a client that was silent for its time is reading its answer; it has more time then."""
        before, conn.unarrived_bytes = conn.unarrived_bytes, unarrived(conn.sock.fileno())
        return 0 < conn.unarrived_bytes < before and self._is_given_more(conn)

    def _is_given_more(self, conn: ClientConnection) -> bool:
        if monotonic() >= conn.may_say_until:
            return False
        del self.lingering[conn]  # to be the last one in the order of deadlines
        self.lingering[conn] = monotonic() + _SILENT_SECONDS
        return True
