"""Tell clients of HTTP/2, by GOAWAY, which of their streams were served when their connection ends.

gunicorn 27 means to do so when a worker leaves, but first asks its connection for the requests that wait, by giving it
no bytes; the connection takes that for the client's end, forgets those requests, and says nothing any more.  Where it
does say GOAWAY on an idle connection, it names stream 0: none was served.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ..gunicorn_types import Settings

__all__ = ["say_goaway", "saying_goaway", "saying_goaway_async"]


def say_goaway(cfg: Settings) -> None:
    """Give gunicorn classes of connections that say GOAWAY as RFC 9113, 6.8 has it, where HTTP/2 is spoken."""
    is_negotiated = cfg.is_ssl and "h2" in (getattr(cfg, "http_protocols", None) or ())
    if not is_negotiated and getattr(cfg, "http2_cleartext", "off") == "off":
        return
    try:
        from gunicorn.http2 import async_connection, connection
    except ImportError:  # before 25.0
        return
    connection.HTTP2ServerConnection = saying_goaway(connection.HTTP2ServerConnection)
    async_connection.AsyncHTTP2Connection = saying_goaway_async(async_connection.AsyncHTTP2Connection)


def saying_goaway(base: type[Any]) -> type[Any]:
    """Return a class of connections that are read by threads or greenlets; the same if it is one already."""
    if hasattr(base, "says_goaway"):
        return base

    class ServerConnection(base):  # type: ignore[misc]  # gunicorn has no type hints
        """gunicorn's connection, which says GOAWAY."""

        says_goaway = True

        def receive_data(self, data: bytes | None = None) -> list[Any]:
            """Extends gunicorn's: no bytes ask for what waits."""
            if data is None or data:
                received: list[Any] = super().receive_data(data)
                return received
            waiting: list[Any] = []
            while not self.is_closed and (self.pending_requests or self._deferred_events):
                waiting += super().receive_data()
            return waiting

        def close(self, error_code: int = 0, last_stream_id: int | None = None) -> None:
            """Extends gunicorn's: the last stream is the last one that the client has opened."""
            super().close(error_code, _last_stream(self, last_stream_id))

    return ServerConnection


def saying_goaway_async(base: type[Any]) -> type[Any]:
    """Return a class of connections that are read by tasks; the same if it is one already."""
    if hasattr(base, "says_goaway"):
        return base

    class ServerConnection(base):  # type: ignore[misc]  # gunicorn has no type hints
        """gunicorn's connection, which says GOAWAY."""

        says_goaway = True

        def close(self, error_code: int = 0, last_stream_id: int | None = None) -> Awaitable[None]:
            """Extends gunicorn's: as above."""
            closed: Awaitable[None] = super().close(error_code, _last_stream(self, last_stream_id))
            return closed

    return ServerConnection


def _last_stream(connection: Any, named: int | None) -> int:  # noqa: ANN401 - gunicorn's
    if named is not None:
        return named
    last: int = connection.h2_conn.highest_inbound_stream_id
    return last
