"""Answer a request that has taken too long, and say so: what is the same for all kinds of workers.

The client of a late request gets 503 if nothing of its answer was sent, and otherwise an answer that ends in the
middle.  The log gets the request and its stack.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from gunicorn import util
from gunicorn.http.wsgi import Response, default_environ

from ... import under_test
from ...base.one_line import Lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ...operations.metrics.request_meter import RequestMeter
    from ..gunicorn_types import GunicornLog, PlainRequest, Settings

__all__ = [
    "LATE_STATUS",
    "answer_late",
    "asks_for_upgrade",
    "is_event_stream",
    "late_page",
    "refuse_stream",
    "tell_late",
]

_STATUS: Final = 503
_REASON: Final = "Service Unavailable"
LATE_STATUS: Final = f"{_STATUS} {_REASON}"
_MESSAGE: Final = "The request took too long."


def tell_late(log: GunicornLog, meter: RequestMeter) -> Callable[..., None]:
    """Return what writes into ``log`` that a request is late, and lets ``meter`` count it."""

    def tell(request: str, client: str, seconds: float, stack: str, what: str = "ended") -> None:
        meter.count_late()
        of = f" from {client}" if client else ""
        log.error(
            "%s%s took longer than %g s (request_timeout) and is %s:\n%s", request, of, seconds, what, Lines(stack)
        )

    return tell


def answer_late(
    cfg: Settings,
    log: GunicornLog,
    req: PlainRequest,
    client: Any,  # noqa: ANN401 - a socket of any kind
    addr: object,
    started: float,
) -> None:
    """Answer 503 as gunicorn answers an error: a page, a line in the access log, and the end of the connection.

    Args:
        cfg: gunicorn's settings.
        log: gunicorn's logger.
        req: that is late; nothing of its answer was sent.
        client: the socket.
        addr: of the client.
        started: when the request began, by the monotonic clock.
    """
    environ = default_environ(req, client, cfg)
    if isinstance(addr, tuple) and len(addr) >= 2:
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = addr[0], str(addr[1])
    response = Response(req, client, cfg)
    response.status = LATE_STATUS
    log.access(response, req, environ, timedelta(seconds=monotonic() - started))
    with suppress(OSError):
        util.write_error(under_test.mark(client), _STATUS, _REASON, _MESSAGE)


def late_page() -> bytes:
    """Return the whole answer to a late request, as it is sent."""
    page = _Page()
    util.write_error(page, _STATUS, _REASON, _MESSAGE)
    return page.data


class _Page:
    """Stands in for the socket that gunicorn writes a page to."""

    data = b""

    def gettimeout(self) -> float:
        return 0.0

    def sendall(self, data: bytes) -> None:
        self.data += data


def refuse_stream(connection: Any, stream_id: int, *, is_begun: bool) -> None:  # noqa: ANN401 - gunicorn's
    """Answer a late request of HTTP/2: its stream ends, and the connection goes on."""
    if is_begun:
        connection.reset_stream(stream_id)
    else:
        connection.send_error(stream_id, _STATUS, _MESSAGE)


def asks_for_upgrade(fields: Iterable[tuple[str, str]]) -> bool:
    """Whether a request asks for another protocol, a websocket as a rule; by its header fields as gunicorn has them."""
    return any(name == "UPGRADE" for name, _ in fields)


def is_event_stream(headers: Iterable[tuple[str, str]]) -> bool:
    """Whether an answer is a stream of server-sent events, which is meant to last."""
    return any(name.lower() == "content-type" and value.startswith("text/event-stream") for name, value in headers)
