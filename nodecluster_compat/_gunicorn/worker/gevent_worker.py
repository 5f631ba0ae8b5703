"""Extend gunicorn's gevent worker: ``-k nodecluster_compat.Worker``.

``GeventWorker`` serves a connection exactly as it does for ``-k gevent`` (keep-alive, HTTP/2, PROXY protocol,
limits, hooks, access log: its ``handle``); what is ours is how a connection gets here (dealt by the primary:
``fed_source``; accepted here: ``accepting_source``), and what every worker of a cluster has (``fed_worker``).
"""

from __future__ import annotations

import sys
from types import FrameType, MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from gevent import GreenletExit, get_hub, getcurrent
from gevent.event import Event

from ...base.log import Log
from ...gevent_runtime.background_greenlets import finish_background
from ...gevent_runtime.forked_hub import hub_begins
from ...gevent_runtime.greenlet_stacks import blocking_sleep, greenlet_stacks
from ...gevent_runtime.idle_limit import IdleLimit
from ...gevent_runtime.loaded_early import GRPC_UNPREPARED, is_grpc_unprepared
from ...gevent_runtime.patching import patching
from ...gevent_runtime.reactor import GeventReactor
from ...machine.said_once import Topic, is_first_to_say
from ..arbiter.birth import Birth
from ..requests.access_log import use_access_log
from ..requests.caching import cache_repeated_work
from ..requests.clean_loop import use_clean_loop
from ..requests.http_worker import HttpWorker
from ..requests.request_ids import with_request_ids
from ..requests.request_waits import knows_idle, tell_waits
from ..requests.responses import AnsweredApplication
from .accepting_source import AcceptingSource
from .connection_source import ConnectionSource
from .fed_source import FedSource
from .fed_worker import FedWorker
from .foreign_settings import ASGI_SETTINGS, THREAD_SETTINGS
from .gevent_connections import GeventConnections
from .gevent_imports import prepare
from .membership import Membership
from .steering import Steering

if TYPE_CHECKING:
    from ..gunicorn_types import Settings

__all__ = ["ClusterGeventWorker", "GeventEngine"]

_GEVENT_WEBSOCKET: Final = (
    "The application has loaded gevent-websocket, which has no websockets in this class of worker: write "
    "-k nodecluster_compat.WebSocketWorker"
)


class _GeventRuntime(Steering, GeventReactor):
    """This kind of worker, as :class:`~nodecluster_compat.roles.this_worker.ClusterWorker` needs it."""


class GeventEngine:
    """See :class:`~nodecluster_compat._gunicorn.worker.under_test.Examined`."""

    holds_thread: ClassVar = False

    @staticmethod
    def stacks(frame: FrameType | None) -> str:
        """Return what each greenlet is doing."""
        return greenlet_stacks(frame)

    @staticmethod
    def block(seconds: float) -> None:
        """Block the whole process, greenlets and all."""
        blocking_sleep(seconds)


class ClusterGeventWorker(FedWorker, HttpWorker):
    """``gunicorn -k nodecluster_compat.Worker``."""

    engine = GeventEngine()
    serves_gevent_websocket = False
    foreign_settings = MappingProxyType({**THREAD_SETTINGS, **ASGI_SETTINGS})

    @classmethod
    def prepare(cls, cfg: Settings, log: Log) -> None:
        """See :class:`WorkerKind`."""
        prepare(cfg, log)

    def __init__(self, *args: object, **kwargs: object) -> None:
        # Made before the fork and therefore without gevent: events come with the signals.
        self._changed: Event | None = None  # set at whatever the main greenlet may wait for
        self._serving: dict[Any, Any] = {}  # the sockets of the connections by greenlet, None before they are made
        self._idle_limit: IdleLimit | None = None
        super().__init__(*args, **kwargs)

    def wake(self) -> None:
        """See :class:`WorkerKind`."""
        if self._changed is not None:
            self._changed.set()

    def wait(self, seconds: float) -> None:
        """Let the other greenlets run until something changes, at most ``seconds``."""
        assert self._changed is not None
        self._changed.wait(seconds)
        self._changed.clear()

    def init_process(self) -> None:
        """Extends :class:`FedWorker`'s: this greenlet is the main one."""
        self._main = getcurrent()
        super().init_process()

    def patch(self) -> None:
        """Extends gunicorn's: what takes long has been found out before the fork."""
        with patching():
            super().patch()

    def make_runtime(self) -> _GeventRuntime:
        """See :class:`WorkerKind`."""
        self._changed = Event()
        hub_begins()
        return _GeventRuntime(self)

    def make_source(self, birth: Birth, membership: Membership) -> ConnectionSource:
        """See :class:`WorkerKind`."""
        if not self.served:
            return AcceptingSource(self, membership, self.sockets, self._serving, self._ended)
        feed = self.make_feed(birth, membership)
        return FedSource(self, feed, self._serving, self._ended, self.handshake_timeout)

    def make_ready(self) -> None:
        """Serve with what is ours on gunicorn's request path; all of it only where the primary deals."""
        if is_grpc_unprepared() and is_first_to_say(Topic.GRPC_UNPREPARED):
            self.log.warning("%s", GRPC_UNPREPARED)
        if sys.modules.get("geventwebsocket") is not None and not self.serves_gevent_websocket:
            self._serve_gevent_websocket()
        if "engineio.async_drivers.gevent" in sys.modules:
            from ..requests.engineio_websockets import install

            install()
        self._save_work()

    def _serve_gevent_websocket(self) -> None:
        """Engine.IO takes that package where it finds it, asked or not; whoever else has loaded it is told."""
        driver = sys.modules.get("engineio.async_drivers.gevent")
        if driver is not None and getattr(driver, "SimpleWebSocketWSGI", None) is None:
            from ..requests.gevent_websockets import WithWebSockets

            self.wsgi = WithWebSockets(self.wsgi, self.log, query="EIO=")
        elif is_first_to_say(Topic.GEVENT_WEBSOCKET):
            self.log.warning("%s", _GEVENT_WEBSOCKET)

    def _save_work(self) -> None:
        self.wsgi = AnsweredApplication(with_request_ids(self.wsgi, self.cfg, self.request_id_header), self)
        access_log = use_access_log(self.log, get_hub().loop.run_callback)
        self._idle_limit = IdleLimit(self.cfg.keepalive, self._serving)
        if self.served:
            cache_repeated_work(self.cfg)
            self.clean_loop, self.request_wait = use_clean_loop(self, self._idle_limit, access_log)
        else:
            self.request_wait = tell_waits(self.cfg, self._idle_limit)
        self.limit_requests(self.request_timeout, self._serving)
        self.connections = GeventConnections(self._serving, self._idle_limit if knows_idle(self.cfg) else None)

    def _ended(self) -> None:
        self._serving.pop(getcurrent(), None)
        if not self.alive and not self._serving:
            self.wake()

    def finish_background(self, seconds: float) -> int:
        """See :class:`FedWorker`: greenlets, and threads, which are greenlets here."""
        return finish_background(seconds, self.notify)

    def throw(self, error: BaseException) -> None:
        """Raise ``error`` in the main greenlet."""
        self._thrown = get_hub().loop.run_callback(self._main.throw, error)

    def end_caller(self, code: int) -> None:
        """End the calling greenlet: a request's, a handler's, or the main one, which thereby ends the process."""
        if getcurrent() is get_hub():
            return  # a signal handler that interrupted the wait: what it raises next reaches the main greenlet
        if getcurrent() is not self._main:
            raise GreenletExit
        self._thrown.stop()
        sys.exit(code)
