"""Route the requests of one connection: read enough of a head, decide, hand the connection on, or serve it here.

Whatever serves a connection has one of these where its worker routes, and asks it before each request:

    bytes come ──decide──▶ HERE: they are put back, and the request is read and served as any
        ▲          │
        └── MORE ──┤
                   └────▶ a worker, or ANYONE ──hand_on──▶ the connection is that one's; here it is closed, not shut
                                                  └─ the primary is gone, or no descriptor is left: HERE

A request that came from another worker (``early``) is always served here, whatever its key says: so no request goes
round in circles, and a target that died meanwhile gets an answer.  The next request of the connection is routed again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...connections.handed import MOST_HANDED_BYTES, Handed
from ...routing.proxy_header import proxy_header_bytes
from ...routing.router import HERE, MORE, Router

if TYPE_CHECKING:
    from ...base.records import PeerAddress
    from ...routing.relays import Relays

__all__ = ["Passage"]


class Passage:
    """One connection of a worker that routes.

    Args:
        router: decides.
        send: hands on ``(target, fd, handed)``; returns whether the primary has it now.
        peer: the client's address.
        early: what another worker has read of the connection.
        relays: those of the worker.
        has_proxy_header: whether the header of the PROXY protocol may come before the first request.

    Attributes:
        early: see above; whoever serves the connection takes it from here.
        relays: see above.
        hint: what is in every request that is to be decided about, if its first line is whole; ``None``: in all.
    """

    __slots__ = (
        "_has_proxy_header",
        "_is_final",
        "_peer",
        "_prefix",
        "_router",
        "_seen",
        "_send",
        "early",
        "hint",
        "relays",
    )

    def __init__(
        self,
        router: Router,
        send: Callable[[int, int, Handed], bool],
        peer: PeerAddress,
        early: bytes,
        relays: Relays,
        *,
        has_proxy_header: bool,
    ) -> None:
        self._router = router
        self._send = send
        self._peer = peer
        self.relays = relays
        self.early = early
        self._is_final = bool(early)
        self._has_proxy_header = has_proxy_header
        self.hint = None if early or has_proxy_header else router.hint
        self._prefix = b""  # the header of the PROXY protocol, which goes along to whoever is next
        self._seen = 0

    def decide(self, data: bytes | bytearray, is_reused: bool) -> int:
        """Return who serves the request that ``data`` begins; see :meth:`Router.decide`."""
        if self._has_proxy_header:
            size = proxy_header_bytes(data)
            if size is None:
                return MORE
            self._prefix, self._has_proxy_header = bytes(data[:size]), False
        if self._is_final:
            self._is_final = False
            return HERE
        if self._prefix and not is_reused:
            data = data[len(self._prefix) :]
        start, self._seen = self._seen, 0
        decision = self._router.decide(data, is_reused, start)
        if decision == MORE:
            self._seen = len(data)
        return decision

    def hand_on(self, target: int, fd: int, family: int, data: bytes | bytearray, is_reused: bool) -> bool:
        """Give the connection to another worker.

        Args:
            target: whose it is; :data:`~nodecluster_compat.routing.router.ANYONE`: whose turn it is.
            fd: of the connection, or of what stands for it; it stays the caller's, to close.
            family: of its socket.
            data: all that was read of the request.
            is_reused: whether that is not the first of the connection.

        Returns:
            Whether it is no longer this worker's, though it may wait here until the primary has room for it.
        """
        if len(data) + len(self._prefix) > MOST_HANDED_BYTES:
            return False
        data = self._prefix + bytes(data) if is_reused else bytes(data)
        peer = None if isinstance(self._peer, bytes) else self._peer
        return self._send(target, fd, Handed(family, peer, data))
