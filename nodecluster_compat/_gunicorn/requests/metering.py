"""Count requests that gunicorn's ``handle_request`` serves; know the meter of this process.

A loop of our own tells the meter itself.  gunicorn's methods are wrapped here, and what they keep to themselves, the
response, is noted when the application is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...operations.metrics.request_meter import NO_SLOT, RequestMeter

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..gunicorn_types import PlainRequest

__all__ = ["Metering", "address_text", "leave_meter", "this_meter", "use_meter"]


class _ThisProcess:
    meter: RequestMeter | None = None


def use_meter(meter: RequestMeter) -> None:
    """Count with ``meter`` from now on, in this process."""
    _ThisProcess.meter = meter


def this_meter() -> RequestMeter:
    """Return the meter of this process; one that nobody reads where it is no worker."""
    if _ThisProcess.meter is None:
        _ThisProcess.meter = RequestMeter()
    return _ThisProcess.meter


def leave_meter() -> None:
    """In a process that a worker forked: it counts for nobody."""
    if _ThisProcess.meter is not None:
        _ThisProcess.meter.abandon()


def address_text(peer: object) -> str:
    """Return the address of a client as people write it; nothing for a unix socket."""
    if isinstance(peer, tuple) and len(peer) >= 2:
        host, port = peer[:2]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return ""


class Metering:
    """The connections of one worker, and the responses to what gunicorn serves on them."""

    def __init__(self) -> None:
        self.meter = this_meter()
        self._slots: dict[object, int] = {}
        self.responses: dict[object, Any] = {}  # by socket, while gunicorn serves

    def open(self, sock: object, peer: object, ident: int) -> int:
        """Count a connection; return its slot."""
        slot = self._slots[sock] = self.meter.open(address_text(peer), ident)
        return slot

    def close(self, sock: object) -> None:
        """The connection has ended."""
        self.meter.close(self._slots.pop(sock, NO_SLOT))

    def serve(self, request: PlainRequest, sock: object, serve: Callable[[], None]) -> None:
        """Call ``serve``, which is gunicorn's, and count the request.

        Raises:
            BaseException: what ``serve`` raises.
        """
        meter, slot = self.meter, self._slots.get(sock, NO_SLOT)
        started = getattr(request, "started", None)  # in the loop of clean requests, which has not come to an end
        if started is None:
            started = meter.begin(slot, f"{request.method} {request.uri}".encode("latin-1", "replace"))
        self.responses[sock] = None
        answers = None
        try:
            serve()
        except (StopIteration, OSError):
            raise
        except (Exception, SystemExit):
            answers = 500  # what gunicorn answers to whatever an application raises
            raise
        finally:
            response = self.responses.pop(sock, None)
            is_begun = getattr(response, "headers_sent", False)
            status = response.status if is_begun or (answers is None and response is not None) else answers
            meter.end(slot, started, request.method or "", status, getattr(response, "sent", 0))
