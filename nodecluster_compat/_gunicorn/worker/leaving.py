"""End a worker: by a signal, by ``process.exit()``, by its own wish, or because its primary is gone.

However it was asked, it serves no more (``alive``), drains its connections, and ends.
:meth:`LeavingWorker.exit_now` alone waits for nothing.
"""

from __future__ import annotations

import os
import signal as signals
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Final

from ...machine.last_words import limit_last_words
from .draining import Drain
from .kind import WorkerKind

if TYPE_CHECKING:
    from ...roles.worker_runtime import Runtime
    from ..arbiter.birth import Birth
    from .connection_source import ConnectionSource
    from .request_routing import RequestRouting

__all__ = ["LeavingWorker"]

_NOTIFY_SECONDS: Final = 1.0
_LAST_WORDS_SECONDS: Final = 1.0
_BACKGROUND_SECONDS: Final = 1.0


class LeavingWorker(WorkerKind):
    """Ends a worker: by a signal, by ``process.exit()``, or because its primary is gone.

    Attributes:
        ends_connections: answers say so, also to requests that came before; see :meth:`begin_drain`.
    """

    alive: bool
    _birth: Birth | None
    _routes: RequestRouting | None

    def __init__(self, *args: object, **kwargs: object) -> None:
        self.ends_connections = False
        self._exit_code: int | None = None
        self._signalled = False
        self._drain: Drain | None = None
        self._closes_idle = False
        super().__init__(*args, **kwargs)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Extends gunicorn's: a worker that a signal ends does not leave by its own wish."""
        self._signalled = self.ends_connections = True
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """Extends gunicorn's: as :meth:`handle_exit`."""
        self._signalled = self.ends_connections = True
        super().handle_quit(sig, frame)

    def handle_abort(self, sig: int, frame: FrameType | None) -> None:
        """Extends gunicorn's: as :meth:`handle_exit`; this one is the master's time-out."""
        self._signalled = self.ends_connections = True
        super().handle_abort(sig, frame)

    @property
    def _handlers(self) -> dict[int, Callable[[int, FrameType | None], None]]:
        return {
            signals.SIGTERM: self.handle_exit,
            signals.SIGINT: self.handle_quit,
            signals.SIGQUIT: self.handle_quit,
            signals.SIGABRT: self.handle_abort,
        }

    def exit_now(self, code: int) -> None:
        """End with ``code``, whatever it does; any greenlet or thread may call, the first code counts."""
        if self._exit_code is not None:
            return
        self._exit_code = code
        if self._birth is not None:
            self._birth.heartbeat.note_served(self.nr)
        self.throw(SystemExit(code))

    def leave_caller(self) -> None:
        """End what has called ``process.exit()``."""
        assert self._exit_code is not None
        self.end_caller(self._exit_code)

    def orphaned(self) -> None:
        """The primary is gone: end, and let the kernel end this process if it takes its time."""
        limit_last_words(_LAST_WORDS_SECONDS)
        self.exit_now(0)

    def begin_drain(self) -> None:
        """End in order, as somebody asked for.

        Requests that are in flight are the last ones of their connections then.  Where the worker ends by itself
        (``max_requests``), gunicorn has promised each of them one more.
        """
        self.ends_connections = True
        self.alive = False

    def close_idle(self) -> None:
        """Wait no longer for a further request on idle connections, from the drain on."""
        self._closes_idle = self.ends_connections = True
        if self._drain is not None:
            self._drain.close_idle()

    def _finish_requests(self, birth: Birth, runtime: Runtime, source: ConnectionSource | None) -> Drain:
        """Drain, in ``graceful_timeout`` or the time that was given."""
        asked = birth.member.drain_timeout
        seconds = self.cfg.graceful_timeout if asked is None else asked
        goodbye = birth.member.tell_disconnecting
        if self._routes is not None:
            self._routes.relays.leave()
        self._drain = drain = Drain(self.connections, seconds, runtime, goodbye, self.wake, self.log)
        if self._closes_idle:
            drain.close_idle()
        while not (drain.is_over and (source is None or source.has_left())):
            patience = min(self._patience, drain.seconds_left)
            if patience <= 0:
                drain.cut()
                break
            self.notify()
            self.wait(patience)
        return drain

    def _finish_background(self, seconds: float) -> None:
        """What has begun after an answer has a moment, as gunicorn's own workers give it, who look once a second."""
        self.notify()
        left = self.finish_background(min(seconds, _BACKGROUND_SECONDS)) if seconds > 0 else 0
        if left:
            told = "Worker ends (pid:%s): the application has not ended %s of what it runs after its answers"
            self.log.info(told, os.getpid(), left)

    @property
    def _patience(self) -> float:
        # self.timeout is half of the setting: a sign of life a second would come too late for timeout = 1
        return min(_NOTIFY_SECONDS, self.timeout or _NOTIFY_SECONDS)
