"""Extend gunicorn's thread worker: ``-k nodecluster_compat.ThreadWorker``.

gunicorn's ``ThreadWorker`` answers a request exactly as it does for ``-k gthread`` (its ``handle``): HTTP/2, PROXY
protocol, limits, hooks, access log.  What is ours is how a connection gets to a thread and what becomes of it after
that (``connections``), what the main thread waits in (``thread_runtime/``), how others reach it (``main_thread``), and
what every worker of a cluster has (``fed_worker``).

Nothing is patched, and gevent is not imported, neither here nor in the primary.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from functools import cached_property, partial
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from gunicorn.workers.gthread import ThreadWorker

from .... import under_test
from ....base.log import Log
from ....base.records import Load
from ....base.this_request import add_limiter, limit_request
from ....errors import TimeLimitExceeded
from ....machine.forked_child import worker_begins
from ....operations.metrics.request_meter import NO_SLOT
from ....thread_runtime.poller import Poller
from ....thread_runtime.pool import Job, ThreadPool
from ....thread_runtime.reactor import ThreadReactor
from ...arbiter.finalisation import at_end
from ...requests.access_log import use_access_log
from ...requests.caching import cache_repeated_work
from ...requests.late_answers import asks_for_upgrade, tell_late
from ...requests.metering import Metering, address_text
from ...requests.request_ids import with_request_ids
from ..fed_worker import FedWorker
from ..foreign_settings import ASGI_SETTINGS
from ..steering import Steering
from .async_mode import warn_of_gevent_mode
from .connections import ThreadConnections
from .examined import ExaminedPool
from .late_requests import LateThreads
from .main_thread import MainThread
from .requests import answered, read_strictly
from .sources import AcceptingThreads, FedThreads

if TYPE_CHECKING:
    from ...arbiter.birth import Birth
    from ...gunicorn_types import PlainRequest, Settings
    from ..membership import Membership
    from .client_connection import ClientConnection

__all__ = ["ClusterThreadWorker", "import_all"]

_FOR_WORKERS: Final = ("gunicorn_h1c",)


def import_all() -> None:
    """Import what each of these workers needs, and is not imported yet."""
    for name in _FOR_WORKERS:
        with suppress(ImportError):  # the C parser is optional
            import_module(name)


class _ThreadRuntime(Steering, ThreadReactor):
    """This kind of worker, as :class:`~nodecluster_compat.roles.this_worker.ClusterWorker` needs it."""

    def __init__(self, worker: ClusterThreadWorker, poller: Poller) -> None:
        ThreadReactor.__init__(self, poller, worker.throw)
        self._worker = worker


class ClusterThreadWorker(FedWorker, ThreadWorker):  # type: ignore[misc]  # gunicorn has no type hints
    """``gunicorn -k nodecluster_compat.ThreadWorker``."""

    foreign_settings = MappingProxyType(ASGI_SETTINGS)
    connections: ThreadConnections
    _main: MainThread
    _poller: Poller
    tpool: Any
    poller: Any
    method_queue: Any

    @classmethod
    def check_config(cls, cfg: Settings, log: Log) -> None:
        """Extends both: gunicorn says where there is no room for kept-alive connections."""
        super().check_config(cfg, log)
        ThreadWorker.check_config(cfg, log)

    @classmethod
    def prepare(cls, cfg: Settings, log: Log) -> None:
        """See :class:`WorkerKind`."""
        import_all()

    def __init__(self, *args: object, **kwargs: object) -> None:
        self._exit: SystemExit | None = None
        self._late: LateThreads | None = None
        super().__init__(*args, **kwargs)
        self.engine = ExaminedPool(self)

    @cached_property
    def metering(self) -> Metering:
        """Counts connections and requests; made where they are served, after the fork."""
        return Metering()

    # --- what this engine adds -----------------------------------------------------------------

    def get_thread_pool(self) -> ThreadPool | Executor:
        """Extends gunicorn's: threads that do not end hold up no exit.  To be overridden, as in gunicorn."""
        if self._birth is None:
            pool: Executor = super().get_thread_pool()
            return pool
        return ThreadPool(self.cfg.threads, "request")

    def make_runtime(self) -> _ThreadRuntime:
        """See :class:`WorkerKind`."""
        worker_begins()
        poller = self._poller = Poller()
        self._main = MainThread(poller)
        runtime = _ThreadRuntime(self, poller)
        at_end(runtime.let_go)
        if self._birth is not None:
            self._replace_poller(poller, runtime)
        return runtime

    def _replace_poller(self, poller: Poller, runtime: ThreadReactor) -> None:
        """Wait in ours, in place of what gunicorn has made to wait in."""
        self.poller.close()
        self.method_queue.close()
        self.poller = self.method_queue = poller
        self._turn = runtime.turn
        self.connections = connections = ThreadConnections(
            poller,
            self._submit,
            self.cfg.keepalive,
            self.cfg.threads,
            self.worker_connections,
            self._connections_changed,
            self.metering,
        )
        self.keepalived_conns = connections.idle
        self._limit_requests(poller, runtime)
        at_end(partial(self.tpool.shutdown, wait=True))

    def _limit_requests(self, poller: Poller, runtime: ThreadReactor) -> None:
        def call_later(seconds: float, look: Callable[[], None]) -> None:
            runtime.call_later(seconds, partial(poller.defer, look))  # without its lock: a log may wait

        responses = self.metering.responses
        self._late = LateThreads(self.request_timeout, call_later, responses, tell_late(self.log, self.metering.meter))
        add_limiter(self._late.limit)

    def make_source(self, birth: Birth, membership: Membership) -> FedThreads | AcceptingThreads:
        """See :class:`WorkerKind`."""
        assert self._runtime is not None
        source: FedThreads | AcceptingThreads
        if self.served:
            feed = self.make_feed(birth, membership)
            source = FedThreads(feed, self._runtime, self.connections, self.cfg, self.handshake_timeout)
        else:
            source = AcceptingThreads(
                membership, self._runtime, self.connections, self.sockets, self.cfg, self.handshake_timeout
            )
        self._source: Any = source
        return source

    def make_ready(self) -> None:
        """Serve with what is ours on gunicorn's request path."""
        self._main.loaded()
        warn_of_gevent_mode(self.log)
        if isinstance(self.tpool, ThreadPool):
            self._begin_threads(self.tpool)
        self.wsgi = answered(with_request_ids(self.wsgi, self.cfg, self.request_id_header), self)
        read_strictly(self.cfg)
        use_access_log(self.log, None)
        if self.served:
            cache_repeated_work(self.cfg)

    def _begin_threads(self, pool: ThreadPool) -> None:
        pool.begin()
        if pool.size < self.cfg.threads:
            self.log.warning("Worker has %s of its %s threads: the system gives no more", pool.size, self.cfg.threads)
            self.connections.threads = pool.size

    def load(self) -> Load:
        """See :class:`WorkerKind`."""
        return self.connections.load

    def wait(self, seconds: float) -> None:
        """Let the main thread turn until something changes, at most ``seconds``."""
        connections, main, limit = self.connections, self._main, time.monotonic() + seconds
        while not main.is_woken and (left := limit - time.monotonic()) > 0:
            self._turn(min(left, connections.next_sweep))
            connections.sweep()
        main.is_woken = False
        main.catch_up()

    def wake(self) -> None:
        """See :class:`WorkerKind`."""
        self._main.wake()

    def throw(self, error: BaseException) -> None:
        """See :class:`WorkerKind`."""
        self._main.throw(error)

    def interrupted(self) -> None:
        """See :class:`WorkerKind`: raise what ends the worker, if it still loads the application."""
        self._main.interrupted()

    def end_caller(self, code: int) -> None:
        """End the caller, a thread's job; or the main thread, and with it the process."""
        if self._main.is_current:
            self._main.take_back()
        raise SystemExit(code)

    def orphaned(self) -> None:
        """Extends :class:`FedWorker`'s: only the main thread may set how a signal is handled."""
        self._main.call(super().orphaned)

    # --- connections ---------------------------------------------------------------------------

    def _connections_changed(self) -> None:
        self._source.changed()
        if not self._alive and not len(self.connections):
            self.wake()

    def _submit(self, conn: ClientConnection) -> None:
        if isinstance(self.tpool, ThreadPool):
            self.tpool.submit(self.handle, conn, done=partial(self._answered, conn))
        else:  # a program's own
            served = partial(self._poller.defer, self._served, conn)
            self.tpool.submit(self.handle, conn).add_done_callback(served)

    def _answered(self, conn: ClientConnection, job: Job) -> None:
        """On the thread that has answered: end the connection here if that was all, or leave it to the main thread."""
        assert self._late is not None
        keeps = job.has_failed or job.result() or self._late.is_speaking
        if keeps or not self.connections.finished(conn):
            self._poller.defer(self._served, conn, job)
        elif not self._alive:
            self._poller.defer(self._connections_changed)

    def _served(self, conn: ClientConnection, job: Job | Future[Any]) -> None:
        keeps = False
        try:
            keeps = not job.cancelled() and bool(job.result())
        except SystemExit as error:
            self._exit_behind_requests(error)
        except Exception as error:  # noqa: BLE001 - as gunicorn: the connection is closed
            self.log.debug("Closing connection: %r", error)
        finally:  # what ends a process, as in gunicorn, ends this one
            self.connections.served(conn, keeps)

    def _exit_behind_requests(self, error: SystemExit) -> None:
        """End as it says once the other requests are answered, as the interpreter waits for threads in ``gthread``."""
        self._exit = self._exit or error
        self._signalled = True  # it is neither asked to go nor does it leave in order
        self.begin_drain()
        self.wake()

    def run(self) -> None:
        """Extends :class:`FedWorker`'s: a request may have said how it ends."""
        super().run()
        if self._exit is not None:
            raise self._exit

    def handle_request(self, req: PlainRequest, conn: ClientConnection) -> object:
        """Extends gunicorn's: the request is counted, and its client has been answered if it took too long."""
        try:
            return self._metered(req, conn, partial(super().handle_request, req, conn))
        except TimeLimitExceeded:
            return False
        except StopIteration:
            conn.is_taken_over = True
            raise

    def handle_http2_request(self, req: PlainRequest, conn: ClientConnection, *rest: object) -> object:
        """Extends gunicorn's, from 25 on: as :meth:`handle_request`."""
        return self._metered(req, conn, partial(super().handle_http2_request, req, conn, *rest))

    def _metered(self, req: PlainRequest, conn: ClientConnection, serve: Callable[[], object]) -> object:
        ident, metering = threading.get_ident(), self.metering
        metering.meter.name(metering.slots.get(conn, NO_SLOT), ident)
        return metering.serve(req, conn, ident, partial(self._limited, req, conn, serve))

    def _limited(self, req: PlainRequest, conn: ClientConnection, serve: Callable[[], object]) -> object:
        if self._late is None:
            return serve()
        request, is_http2 = f"{req.method} {req.path}", bool(getattr(conn, "is_http2", False))
        self._late.begin(request, address_text(conn.client), conn.sock, is_http2=is_http2)
        try:
            if self.request_timeout and asks_for_upgrade(req.headers):
                limit_request(0)
            return serve()
        finally:
            self._late.end()

    def handle_error(self, req: PlainRequest | None, client: object, addr: object, exc: BaseException) -> None:
        """Extends gunicorn's: under test an error page says whose it is."""
        super().handle_error(req, under_test.mark(client), addr, exc)
