"""Extend gunicorn's gevent worker: ``-k nodecluster_compat.Worker``.

``GeventWorker`` serves a connection exactly as it does for ``-k gevent`` (keep-alive, HTTP/2, PROXY protocol,
limits, hooks, access log: its ``handle``); what is ours is how a connection gets here (dealt by the primary:
``fed_source``; accepted here: ``accepting_source``) and how the worker ends (``membership``, ``draining``).

A worker whose arbiter is not ours (a reload from another worker class) accepts for itself, like its base class.
"""

from __future__ import annotations

import os
import random
import signal as signals
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from gevent import GreenletExit, get_hub, getcurrent
from gevent.event import Event

from ... import under_test
from ...base.log import Log
from ...lifecycle.recycling import requests_of
from ...machine.last_words import limit_last_words
from ...machine.replaced_handlers import warn_of_replaced
from ...machine.said_once import Topic, is_first_to_say
from ...runtime.forked_child import end_if_child, worker_begins
from ...runtime.idle_limit import IdleLimit
from ...runtime.loaded_early import GRPC_UNPREPARED, is_grpc_unprepared
from ...runtime.loop_beat import LoopBeat
from ...runtime.patching import patching
from ..arbiter import install
from ..arbiter.birth import Birth
from ..arbiter.current_settings import settings_in_force
from ..arbiter.finalisation import at_end
from ..arbiter.forking import release_signals, this_birth
from ..arbiter.parent_death import on_parent_death
from ..arbiter.service import hold_back_ready
from ..requests.caching import cache_repeated_work
from ..requests.clean_requests import use_clean_requests
from ..requests.http_worker import HttpWorker
from ..requests.request_waits import knows_idle, tell_waits
from ..requests.responses import with_one_send
from ..requests.served_listener import ServedListener
from .accepting_source import AcceptingSource
from .connection_source import ConnectionSource
from .draining import Drain
from .fed_source import FedSource
from .feed import Feed
from .membership import Membership
from .under_test import WorkerUnderTest
from .worker_runtime import WorkerRuntime

if TYPE_CHECKING:
    from ..gunicorn_types import RequestWait, Settings

__all__ = ["ClusterGeventWorker"]

_NOTIFY_SECONDS: Final = 1.0
_LAST_WORDS_SECONDS: Final = 1.0


class ClusterGeventWorker(HttpWorker):
    """``gunicorn -k nodecluster_compat.Worker``."""

    is_cluster_worker = True
    sockets: list[Any]

    @classmethod
    def setup(cls) -> None:
        """Called by gunicorn when it has the class, before it tells the service manager anything."""
        hold_back_ready()

    @classmethod
    def check_config(cls, cfg: Settings, log: Log) -> None:
        """Called by gunicorn just before the first fork; see :mod:`nodecluster_compat._gunicorn.arbiter.install`."""
        install.check_config(cfg)

    def __init__(self, *args: object, **kwargs: object) -> None:
        # Made before the fork and therefore without gevent: events come with the signals.
        self._changed: Event | None = None  # set at whatever the main greenlet may wait for
        self._alive = True
        self.ends_connections = False  # answers say so, also to requests that came before; see begin_drain
        self._exit_code: int | None = None
        self._signalled = False
        self._birth: Birth | None = None
        self._served: dict[int, ServedListener] = {}
        self._serving: dict[Any, Any] = {}  # the sockets of the connections by greenlet, None before they are made
        self._idle_limit: IdleLimit | None = None
        self._request_wait: RequestWait | None = None
        self._drain: Drain | None = None
        self._closes_idle = False
        self.wsgi: Any
        settings = settings_in_force()
        self._handshake_timeout = settings.handshake_timeout
        self._due_after = requests_of(settings.recycling, random.random)  # requests; 0 once that is said, and for never
        super().__init__(*args, **kwargs)

    @property
    def alive(self) -> bool:
        """Extends gunicorn's attribute: whoever sets it to false wakes the main greenlet at once."""
        return self._alive

    @alive.setter
    def alive(self, value: bool) -> None:
        self._alive = value
        self._wake()

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()

    def _wait(self, seconds: float) -> None:
        """Let the other greenlets run until something changes, at most ``seconds``."""
        assert self._changed is not None
        self._changed.wait(seconds)
        self._changed.clear()

    # --- booting -------------------------------------------------------------------------------

    def init_process(self) -> None:
        """Extends gunicorn's: the worker is connected to its primary while it boots."""
        end_if_child()
        self._birth = this_birth()
        self._main = getcurrent()
        if self._birth is None:
            self.log.warning("This arbiter is not a cluster arbiter (a reload changed worker_class): restart gunicorn")
        if self.cfg.initgroups and self.cfg.gid != os.getgid():
            os.setgid(self.cfg.gid)  # with initgroups gunicorn adds the groups and forgets the group itself
        super().init_process()

    def patch(self) -> None:
        """Extends gunicorn's: with the primary accepting, a worker holds no listening socket."""
        if self._birth is not None and self._birth.served:
            for listener in self.sockets:
                listener.close()
            self._served = {served.listener_id: ServedListener(served, self.cfg) for served in self._birth.served}
            self.sockets = []
        with patching():
            super().patch()

    def init_signals(self) -> None:
        """Extends gunicorn's: now that handlers exist, what was held back since the fork is delivered."""
        super().init_signals()
        self._changed = Event()
        worker_begins()
        if self._birth is not None:
            os.environ.update(self._birth.member.env)
            on_parent_death()
            runtime = WorkerRuntime(self)
            self._birth.member.attach(runtime)
            under_test.connect_worker(WorkerUnderTest(runtime, self._throw))
        release_signals()

    def load_wsgi(self) -> None:
        """Extends gunicorn's: hooks and applications that look at ``sockets`` find addresses there."""
        if self._served:
            self.sockets = list(self._served.values())
        under_test.reach("boot")
        super().load_wsgi()
        end_if_child()
        self.wsgi = under_test.wrap(self.wsgi)
        at_end(self._let_go_of_application)

    def _let_go_of_application(self) -> None:
        self.wsgi = self.app.callable = None

    # --- serving -------------------------------------------------------------------------------

    def run(self) -> None:
        """Replaces gunicorn's, which accepts, and ends in another way; extends it where the arbiter is not ours."""
        end_if_child()
        under_test.reach("ready")
        if self._birth is None:
            super().run()
            return
        warn_of_replaced(self.log, self._handlers)
        if is_grpc_unprepared() and is_first_to_say(Topic.GRPC_UNPREPARED):
            self.log.warning("%s", GRPC_UNPREPARED)
        self._beat = LoopBeat(self._birth.heartbeat)
        self._beat.start()
        self._run_member(self._birth, Membership(self._birth, self._due_after))

    def _run_member(self, birth: Birth, membership: Membership) -> None:
        self._save_work()
        source = self._serve(self._source(birth, membership), membership) if self._alive else None
        membership.ends(self.nr)
        if not self._signalled:
            membership.leaves()
        if source is not None:
            source.stop()
        self._finish_requests(birth, source)
        membership.ends(self.nr)
        membership.finish()

    def _serve(self, source: ConnectionSource, membership: Membership) -> ConnectionSource:
        source.begin()
        while self.alive:
            self.notify()
            self._wait(self._patience)
            source.turn()
            membership.served(self.nr)
        return source

    def _source(self, birth: Birth, membership: Membership) -> ConnectionSource:
        """Return where the connections come from: dealt by the primary, or accepted here."""
        if not self._served:
            return AcceptingSource(self, membership, self.sockets, self._serving, self._ended)
        feed = Feed(birth, membership, self._served, self._wake)
        return FedSource(self, feed, self._serving, self._ended, self._handshake_timeout)

    def _save_work(self) -> None:
        """Serve with what is ours on gunicorn's request path; all of it only where the primary deals."""
        self.wsgi = with_one_send(self.wsgi, self)
        self._idle_limit = IdleLimit(self.cfg.keepalive)
        if self._served:
            cache_repeated_work(self.cfg)
            self._request_wait = use_clean_requests(self.cfg, self._idle_limit)
        else:
            self._request_wait = tell_waits(self.cfg, self._idle_limit)

    @property
    def _patience(self) -> float:
        # self.timeout is half of the setting: a sign of life a second would come too late for timeout = 1
        return min(_NOTIFY_SECONDS, self.timeout or _NOTIFY_SECONDS)

    def timeout_ctx(self) -> RequestWait:
        """Replaces gunicorn's, which makes a timer for each wait."""
        return self._request_wait or super().timeout_ctx()

    def _ended(self) -> None:
        self._serving.pop(getcurrent(), None)
        if not self._alive and not self._serving:
            self._wake()

    # --- ending --------------------------------------------------------------------------------

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
        """End with ``code``, whatever phase the main greenlet is in; called by any greenlet, the first code counts."""
        if self._exit_code is not None:
            return
        self._exit_code = code
        if self._birth is not None:
            self._birth.heartbeat.note_served(self.nr)
        self._exit_callback = get_hub().loop.run_callback(self._main.throw, SystemExit(code))

    def _throw(self, error: BaseException) -> None:
        """Raise ``error`` in the main greenlet."""
        get_hub().loop.run_callback(self._main.throw, error)

    def leave_caller(self) -> None:
        """End the calling greenlet: a request's, a handler's, or the main one, which thereby ends the process."""
        if getcurrent() is get_hub():
            return  # a signal handler that interrupted the wait: what it raises next reaches the main greenlet
        if getcurrent() is not self._main:
            raise GreenletExit
        self._exit_callback.stop()
        sys.exit(self._exit_code)

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

    def _finish_requests(self, birth: Birth, source: ConnectionSource | None) -> None:
        """Drain, in ``graceful_timeout`` or the time that was given."""
        asked = birth.member.drain_timeout
        seconds = self.cfg.graceful_timeout if asked is None else asked
        waits = self._idle_limit if knows_idle(self.cfg) else None
        drain = Drain(self._serving, waits, seconds, birth.member.tell_disconnecting, self._wake, self.log)
        self._drain = drain
        if self._closes_idle:
            drain.close_idle()
        while not (drain.is_over and (source is None or source.has_left())):
            patience = min(self._patience, drain.seconds_left)
            if patience <= 0:
                drain.cut()
                return
            self.notify()
            self._wait(self._patience)
