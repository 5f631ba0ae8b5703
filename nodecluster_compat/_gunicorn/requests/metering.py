"""Count requests that gunicorn's ``handle_request`` serves, by the meter of this process.

A loop of our own tells the meter itself.  gunicorn's methods are wrapped here, and what they keep to themselves, the
response, is noted when the application is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from ...errors import TimeLimitExceeded
from ...operations.metrics.request_meter import NO_SLOT
from ...operations.metrics.this_meter import this_meter

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..gunicorn_types import PlainRequest

__all__ = ["MeteredServer", "Metering", "address_text"]

T = TypeVar("T")

_LATE: Final = 503  # what is answered to a request that takes too long


def address_text(peer: object) -> str:
    """Return the address of a client as people write it; nothing for a unix socket."""
    if isinstance(peer, tuple) and len(peer) >= 2:
        host, port = peer[:2]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return ""


class MeteredServer(Protocol):
    """A server whose requests are counted."""

    @property
    def metering(self) -> Metering:
        """Is shown the responses to what gunicorn serves."""


class Metering:
    """The connections of one worker, and the responses to what gunicorn serves on them.

    Attributes:
        responses: by what :meth:`serve` was told, while gunicorn serves; whoever sees a response notes it here.
    """

    def __init__(self) -> None:
        self.meter = this_meter()
        self.slots: dict[object, int] = {}
        self.responses: dict[object, Any] = {}

    def open(self, connection: object, peer: object, ident: int) -> int:
        """Count a connection; return its slot."""
        slot = self.slots[connection] = self.meter.open(address_text(peer), ident)
        return slot

    def count_failed(self) -> None:
        """A connection was taken that nobody serves: it is gone, or does not speak TLS."""
        self.meter.count_failed()

    def close(self, connection: object) -> None:
        """The connection has ended; a no-op when that was said."""
        slot = self.slots.pop(connection, None)
        if slot is not None:
            self.meter.close(slot)

    def serve(self, request: PlainRequest, connection: object, noted: object, serve: Callable[[], T]) -> T:
        """Call ``serve``, which is gunicorn's, and count the request.

        Args:
            request: gunicorn's.
            connection: as :meth:`open` was told.
            noted: where its response will be among the ``responses``.
            serve: is called.

        Raises:
            BaseException: what ``serve`` raises.
        """
        meter, slot = self.meter, self.slots.get(connection, NO_SLOT)
        started = getattr(request, "started", None)  # in the loop of clean requests, which has not come to an end
        if started is None:
            started = meter.begin(slot, f"{request.method} {request.uri}".encode("latin-1", "replace"))
        self.responses[noted] = None
        answers = None
        try:
            return serve()
        except (StopIteration, OSError):
            raise
        except TimeLimitExceeded:
            answers = _LATE
            raise
        except (Exception, SystemExit):
            answers = 500  # what gunicorn answers to whatever an application raises
            raise
        finally:
            response = self.responses.pop(noted, None)
            is_begun = getattr(response, "headers_sent", False)
            status = response.status if is_begun or (answers is None and response is not None) else answers
            meter.end(slot, started, request.method or "", status, getattr(response, "sent", 0))
