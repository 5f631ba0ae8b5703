"""Extend gunicorn's ASGI worker: ``-k nodecluster_compat.ASGIWorker``.

gunicorn's ASGI protocol serves a connection exactly as it does for ``-k asgi`` (HTTP/1, HTTP/2, websockets, PROXY
protocol, limits, hooks, access log); what is ours is how a connection gets here and how it ends (``sources``,
``connections``, ``protocol``), how the application is told of both (``application_lifespan``), and what every worker
of a cluster has (``fed_worker``).

``fed_worker`` waits here and there, and whenever it waits the loop runs: there is no main task.  In between, for
microseconds, nothing runs.

Decided by measurement: gunicorn's protocols stay the only engine.  ``docs/kinds.md`` has the figures of uvicorn's.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from importlib import import_module
from types import FrameType
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from gunicorn.workers.base import Worker
from gunicorn.workers.gasgi import ASGIWorker

from .... import under_test
from ....asyncio_runtime.forked_loop import loop_begins
from ....asyncio_runtime.reactor import AsyncioReactor
from ....base.handler_calls import set_awaiting
from ....base.log import Log
from ....base.this_request import add_limiter
from ....operations.metrics.this_meter import this_meter
from ....routing.issued_asgi import issued_asgi
from ...arbiter.birth import Birth
from ...requests.caching import cache_repeated_work
from ...requests.http2_ends import say_goaway
from ...requests.late_answers import tell_late
from ..connection_source import ConnectionSource
from ..fed_worker import FedWorker
from ..interfaces import refuse_wsgi
from ..membership import Membership
from ..steering import Steering
from .answer_heads import scan_in_c
from .application_lifespan import ApplicationLifespan
from .connections import Connections
from .examined import ExaminedLoop
from .known_imports import answer_imports
from .late_requests import LateTasks
from .leftover_tasks import LeftoverTasks, close_loop, stands_by
from .protocol import use_fast_parser
from .request_ids import with_request_ids
from .running_loop import RunningLoop
from .sources import AcceptingASGISource, ConnectionOpener, FedASGISource

if TYPE_CHECKING:
    from ....routing.issued import IssuingKey
    from ...gunicorn_types import Settings

__all__ = ["ClusterASGIWorker", "import_all"]

_FOR_WORKERS: Final = ("gunicorn.asgi.websocket", "gunicorn_h1c", "uvloop")
_LIFESPAN_SECONDS: Final = 1.0  # to shut down, where the drain has left less than that


def import_all() -> None:
    """Import what each of these workers needs, and is not imported yet."""
    for name in _FOR_WORKERS:
        with suppress(ImportError):  # uvloop and the C parser are optional
            import_module(name)


class _ASGIRuntime(AsyncioReactor, Steering):
    """This kind of worker, as :class:`~nodecluster_compat.roles.this_worker.ClusterWorker` needs it."""

    def __init__(self, worker: ClusterASGIWorker) -> None:
        AsyncioReactor.__init__(self, worker.loop)
        self._worker = worker


class _SignalledASGIWorker(ASGIWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's ASGI worker, that hears signals as gunicorn's other workers do."""

    def init_signals(self) -> None:
        """Replaces gunicorn's: a handler of the loop's never runs while the loop is blocked, which SIGABRT is for."""
        Worker.init_signals(self)

    def handle_usr1(self, *_: object) -> None:
        """Replaces gunicorn's: the stream that is closed here may be amid a line of this thread's."""
        with suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self.log.reopen_files)


class ClusterASGIWorker(FedWorker, _SignalledASGIWorker):
    """``gunicorn -k nodecluster_compat.ASGIWorker``."""

    awaits_handlers = True

    asgi: Any
    loop: asyncio.AbstractEventLoop
    state: dict[str, Any]
    max_requests: int
    connections: Connections
    limits: LateTasks

    @classmethod
    def prepare(cls, cfg: Settings, log: Log) -> None:
        """See :class:`WorkerKind`."""
        if cfg.threads > 1:
            log.warning("ASGIWorker has no threads of its own: threads = %s does nothing", cfg.threads)
        import_all()
        use_fast_parser()

    def __init__(self, *args: object, **kwargs: object) -> None:
        self._source: FedASGISource | AcceptingASGISource | None = None
        self._lifespan: ApplicationLifespan | None = None
        self._last_request = sys.maxsize
        self._leftover = LeftoverTasks()
        self._standing: WeakSet[asyncio.Task[Any]] = WeakSet()  # tasks of its startup, which its shutdown ends
        super().__init__(*args, **kwargs)

    # --- the loop ------------------------------------------------------------------------------

    def _setup_event_loop(self) -> None:
        """Extends gunicorn's: what nobody awaits, and raises, is told in gunicorn's log."""
        super()._setup_event_loop()
        self.loop.set_exception_handler(self._failed_in_loop)
        self.engine = ExaminedLoop(self)

    def _failed_in_loop(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        where = context.get("future") or context.get("task") or context.get("handle") or context.get("protocol")
        self.log.error("%s (%r)", context["message"], where, exc_info=context.get("exception"))

    def make_runtime(self) -> _ASGIRuntime:
        """See :class:`WorkerKind`."""
        self._reactor = _ASGIRuntime(self)
        self._running = RunningLoop(self.loop, self._reactor.end_tasks)
        loop_begins(self.loop)
        set_awaiting(self._reactor.await_soon, self._reactor.ends_handler)
        return self._reactor

    def throw(self, error: BaseException) -> None:
        """See :class:`WorkerKind`."""
        self._running.throw(error)

    def handle_abort(self, sig: int, frame: FrameType | None) -> None:
        """Extends :class:`FedWorker`'s: it raises, and the loop turns a little longer."""
        self._reactor.end_tasks()
        super().handle_abort(sig, frame)

    def end_caller(self, code: int) -> None:
        """End a task, a handler, or the job of another thread."""
        sys.exit(code)

    def wait(self, seconds: float) -> None:
        """See :class:`WorkerKind`."""
        self._running.wait(seconds)

    def wake(self) -> None:
        """See :class:`WorkerKind`."""
        self._running.wake()

    # --- serving -------------------------------------------------------------------------------

    @property
    def wsgi(self) -> Any:  # noqa: ANN401 - an application
        """The application, by the name that it has in gunicorn's other workers."""
        return self.asgi

    @wsgi.setter
    def wsgi(self, application: Any) -> None:  # noqa: ANN401 - as above
        self.asgi = application

    def wrap(self, application: Any) -> Any:  # noqa: ANN401 - as above
        """See :class:`WorkerKind`."""
        refuse_wsgi(application)
        return under_test.wrap_asgi(application)

    def issue(self, application: Any, keys: list[IssuingKey], worker_id: int) -> Any:  # noqa: ANN401 - as above
        """See :class:`WorkerKind`."""
        return issued_asgi(application, keys, worker_id)

    def make_ready(self) -> None:
        """Tell the application that the server begins, and wait until it is ready."""
        self._last_request, self.max_requests = self.max_requests, sys.maxsize
        self.limits = LateTasks(self.request_timeout, self.loop, tell_late(self.log, this_meter()))
        add_limiter(self.limits.limit)
        self.asgi = with_request_ids(self.asgi, self.cfg, self.request_id_header)
        self.connections = Connections(self, self._connection_ended, self._running.run_loop)
        cache_repeated_work(self.cfg)
        say_goaway(self.cfg)
        scan_in_c()
        answer_imports()
        if self.cfg.asgi_lifespan != "off":
            self._lifespan = ApplicationLifespan(self)
            self._lifespan.begin(self.asgi, self.state, is_required=self.cfg.asgi_lifespan == "on")
        self._standing.update(asyncio.all_tasks(self.loop))

    def make_source(self, birth: Birth, membership: Membership) -> ConnectionSource:
        """See :class:`WorkerKind`."""
        opener = ConnectionOpener(self.loop, self.connections, self.cfg, self.log, self.handshake_timeout)
        if self.served:
            feed = self.make_feed(birth, membership)
            self._source = FedASGISource(feed, self._reactor, opener, self.notify)
        else:
            self._source = AcceptingASGISource(membership, self.sockets, self._reactor, opener)
        return self._source

    def _connection_ended(self) -> None:
        if self._source is not None:
            self._source.room_made()
        if not self._alive and not len(self.connections):
            self.wake()

    def ends_connection(self) -> bool:
        """Whether the answer that begins now is the last one of its connection."""
        return self.ends_connections or not self._alive or self.nr + 1 >= self._last_request

    def count_request(self) -> None:
        """A request was served; with the last of ``max_requests`` the worker leaves, as gunicorn's."""
        self.nr += 1
        if self.nr >= self._last_request and self._alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False

    # --- the end -------------------------------------------------------------------------------

    def _let_go_of_application(self) -> None:
        """Extends :class:`FedWorker`'s: connections and the lifespan refer to it, too."""
        super()._let_go_of_application()
        self._lifespan, self.state = None, {}
        if hasattr(self, "connections"):  # it has booted
            self.connections.let_go()

    def finish_background(self, seconds: float) -> int:
        """See :class:`FedWorker`: tasks that requests have begun."""
        limit = self.loop.time() + seconds
        awaited: set[asyncio.Task[Any]] = set()
        while tasks := {one for one in asyncio.all_tasks(self.loop) - set(self._standing) if not stands_by(one)}:
            for task in tasks - awaited:
                task.add_done_callback(lambda _: self.wake())
            awaited |= tasks
            if (left := limit - self.loop.time()) <= 0:
                break
            self.wait(left)
        return len(tasks)

    def end_application(self, seconds: float) -> None:
        """Tell the application that the server ends, and end what tasks are left."""
        if self._lifespan is not None:
            self._lifespan.end(max(seconds, _LIFESPAN_SECONDS))
        self._reactor.end_tasks()
        self._running.run_loop(self._end_tasks())

    async def _end_tasks(self) -> None:
        if self._lifespan is not None:
            self._lifespan.show()
        await self._leftover.end()

    def run(self) -> None:
        """Extends :class:`FedWorker`'s: the loop ends with it, however it ends."""
        try:
            super().run()
        finally:
            self._close_loop()

    def _close_loop(self) -> None:
        if self.loop.is_closed():
            return
        self._reactor.end_tasks()
        close_loop(self.loop, self._end_tasks)
