"""Send the head of a response with its first piece of body, in one ``send``; in a drain say that it is the last one.

:class:`OneSendResponse` does what gunicorn's response does, in its words, and holds back what the first ``write``
sends.
"""

from __future__ import annotations

from typing import Any, Final

from gunicorn.http.wsgi import Response

from ...machine.forked_child import end_if_child

__all__ = ["OneSendResponse"]

_JOIN_BYTES: Final = 64 * 1024  # of the body go with the head: above, copying costs more than a second send


class OneSendResponse(Response):  # type: ignore[misc]  # gunicorn has no type hints
    """gunicorn's response whose head waits for the first piece of body, within one ``write``.

    Attributes:
        server: what the request was made to; once it ``ends_connections`` answers are the last ones of theirs.
        stream: the client of a body that may be iterated for long, where the engine looks for clients that leave
            (:class:`~nodecluster_compat.gevent_runtime.client_gone.ClientGone`).
    """

    server: Any = None
    stream: Any = None

    def default_headers(self) -> list[str]:
        """Extends gunicorn's: a drain that began after the request, and before its answer, is told the client."""
        if self.server is not None and self.server.ends_connections:
            self.force_close()
        headers: list[str] = super().default_headers()
        return headers

    def write(self, arg: bytes) -> None:
        """Extends gunicorn's: what the first ``write`` sends goes out together, also when it raises."""
        end_if_child()
        if self.headers_sent:
            super().write(arg)
            return
        if self.stream is not None:
            self.stream.look()
        sock: Any = self.sock
        held = _Held()
        self.sock: Any = held
        try:
            super().write(arg)
        finally:
            self.sock = sock
            if held.parts:
                self._send(held.parts[0], b"".join(held.parts[1:]))

    def _send(self, head: bytes, rest: bytes) -> None:
        """Send the head and what came with it.

        gunicorn counts the body when the head has gone.  So where nothing goes at all, nothing is counted; and once
        anything has gone, the head has, and nobody may begin another answer.
        """
        data = head + rest[:_JOIN_BYTES]
        try:
            done = self.sock.send(data)
        except OSError:
            self.headers_sent, self.sent = False, 0
            raise
        if done < len(data):
            self.sock.sendall(memoryview(data)[done:])
        if len(rest) > _JOIN_BYTES:
            self.sock.sendall(memoryview(rest)[_JOIN_BYTES:])


class _Held:
    """Stands in for the socket during the first ``write``."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.parts.append(data)
