"""Answer the clients of threads that take too long, while the threads go on: nothing can end a thread.

Theory of operation
-------------------
The main thread looks.  A late request whose thread has sent nothing is answered by the main thread: 503, and the end of
what is sent.  Who sends the head of an answer must have claimed it, and only one can (:class:`ThreadResponse`), so two
never speak at once.  A thread that comes too late is told where it begins its answer: ``TimeLimitExceeded``.  If the
answer has begun, the sending side of the socket is shut, and the thread fails where it sends the next piece.

The receiving side is left open: a thread that reads a body would take its end for the whole.  Through TLS nothing is
sent, because the thread may be reading there, and a connection of HTTP/2 is left alone, because others use it.

Rejected: raising in the thread (``PyThreadState_SetAsyncExc``).  It does not end a wait in C, which is what requests
hang in, and it is raised anywhere, also within a ``finally`` or a lock of the application's.
"""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from _thread import allocate_lock
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field

from ....base.stack_text import stack_of_application
from ....base.time_limits import Late
from ....errors import TimeLimitExceeded
from ....thread_runtime.limit_watch import LimitWatch
from ...requests.late_answers import LATE_STATUS, is_event_stream, late_page
from ...requests.one_send import OneSendResponse
from .ended_websockets import shut

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["LateThreads", "ThreadResponse"]

_THREAD: Final = "thread"
_MAIN: Final = "main thread"


class ThreadResponse(OneSendResponse):
    """A response that only the first to claim it sends."""

    late: TimeLimitExceeded | None = None

    def claim(self, speaker: str) -> bool:
        """Return whether ``speaker`` sends this answer; of several who ask, the first one does."""
        claimed: str = self.__dict__.setdefault("_speaker", speaker)
        return claimed == speaker

    def send_headers(self) -> None:
        """Extends gunicorn's: an answer that somebody else has given is not given again."""
        if not self.headers_sent and not self.claim(_THREAD):
            assert self.late is not None
            self.status = LATE_STATUS  # for the access log
            raise self.late
        super().send_headers()


class _Running(Struct, eq=False):
    """A request that a thread serves."""

    request: str
    client: str
    sock: Any
    is_http2: bool
    ident: int = field(default_factory=threading.get_ident)


class LateThreads:
    """Watches the requests of one worker's threads.

    Args:
        seconds: that a request may usually take; 0 for no limit.
        call_later: calls back in the main thread.
        responses: those that are under way, by thread.
        tell: writes it into the log.
    """

    def __init__(
        self,
        seconds: float,
        call_later: Callable[[float, Callable[[], None]], object],
        responses: Mapping[object, Any],
        tell: Callable[..., None],
    ) -> None:
        self._watch: LimitWatch[_Running] = LimitWatch(seconds, call_later, self._late)
        self._responses = responses
        self._tell = tell
        self._running: dict[int, _Running] = {}
        self._speaking = allocate_lock()  # held by the main thread, while it uses the socket of a request

    @property
    def is_speaking(self) -> bool:
        """Whether the main thread may be using the socket of a request, also of one that has just ended."""
        return self._speaking.locked()

    def begin(self, request: str, client: str, sock: Any, *, is_http2: bool) -> None:  # noqa: ANN401 - of any kind
        """Note that this thread serves a request."""
        running = _Running(request, client, sock, is_http2)
        self._running[running.ident] = running
        self._watch.begin(running)

    def end(self) -> None:
        """Note that its request has ended."""
        running = self._running.pop(threading.get_ident(), None)
        if running is not None:
            self._watch.end(running)

    def limit(self, seconds: float) -> bool:
        """Limit the request of the current thread."""
        running = self._running.get(threading.get_ident())
        return running is not None and self._watch.limit(running, seconds)

    # --- in the main thread --------------------------------------------------------------------

    def _late(self, late: Late[_Running]) -> bool:
        with self._speaking:
            running = late.key
            return running is not self._running.get(running.ident) or self._end(late, running)

    def _end(self, late: Late[_Running], running: _Running) -> bool:
        response = self._responses.get(running.ident)
        if not late.has_own and response is not None and is_event_stream(response.headers):
            return False
        stack = stack_of_application(sys._current_frames().get(running.ident))
        what = self._end_answer(running, response, TimeLimitExceeded(running.request, late.seconds))
        self._tell(running.request, running.client, late.seconds, stack, f"{what}; its thread goes on")
        return True

    def _end_answer(self, running: _Running, response: Any, error: TimeLimitExceeded) -> str:  # noqa: ANN401 - gunicorn's
        """End what the client gets; return what was done."""
        if running.is_http2 or not isinstance(response, ThreadResponse):
            return "left alone"
        response.late = error
        is_first = response.claim(_MAIN)
        if is_first and not isinstance(running.sock, ssl.SSLSocket):
            with suppress(OSError, ValueError):
                running.sock.send(late_page(), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        shut(running.sock, socket.SHUT_WR)
        return "answered 503" if is_first else "cut"
