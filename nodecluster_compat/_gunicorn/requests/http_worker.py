"""Serve connections as gunicorn's gevent worker does, with what differs alike in server mode and script mode.

* A connection that a drain cuts amid a request has not failed: gunicorn would write a traceback and an error page for
  each one whose request was not read to its end.  One line of the drain's says how many there were.
* Under test an error page says whose it is.
"""

from __future__ import annotations

from gevent import GreenletExit
from gunicorn.workers.ggevent import GeventWorker

from ... import under_test

__all__ = ["HttpWorker"]


class HttpWorker(GeventWorker):  # type: ignore[misc]  # gunicorn has no type hints
    """gunicorn's gevent worker, as far as it serves connections."""

    def handle_error(self, req: object, client: object, addr: object, exc: BaseException) -> None:
        """Extends gunicorn's: the end of a greenlet that was killed is no error."""
        if isinstance(exc, GreenletExit):
            self.log.debug("Closing a connection amid a request: it was cut")
            return
        super().handle_error(req, under_test.mark(client), addr, exc)
