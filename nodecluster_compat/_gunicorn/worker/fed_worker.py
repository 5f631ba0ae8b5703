"""Do what a worker of a cluster does whatever its engine: greenlets, threads, asyncio.

``FedWorker`` is mixed in front of one of gunicorn's worker classes.  That class, with what its kind adds (``kind``),
serves connections; what is here is how they get to it (``feed``, ``connection_source``), and how the worker begins and
serves (``membership``).  How it ends has a module of its own (``leaving``):

    born ──``init_signals``──▶ its runtime is up: messages flow ──``run``──▶ listens ──not ``alive``──▶ drains ──▶ ends

A worker whose arbiter is not ours (a reload from another worker class) accepts for itself, like its base class.

Nothing here knows an engine: ``lint-imports`` holds that.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

from ... import under_test
from ...base.handler_calls import let_forks_await
from ...base.log import Log
from ...lifecycle.recycling import requests_of
from ...machine.forked_child import end_if_child
from ...machine.process_title import ProcessTitle
from ...machine.replaced_handlers import warn_of_replaced
from ...socketio.boot import begin as begin_socketio
from ..arbiter import install
from ..arbiter.birth import Birth
from ..arbiter.current_settings import settings_in_force
from ..arbiter.dealing_settings import routing_in_force
from ..arbiter.finalisation import at_end
from ..arbiter.forking import release_signals, this_birth
from ..arbiter.parent_death import on_parent_death
from ..arbiter.service import hold_back_ready
from ..requests.served_listener import ServedListener
from .connection_source import ConnectionSource
from .feed import Feed
from .foreign_settings import warn_of_foreign_settings
from .leaving import LeavingWorker
from .loop_beat import LoopBeat
from .membership import Membership
from .obeying import Obedience
from .request_routing import RequestRouting, issuing_keys, keys_in_force, routes_here
from .under_test import WorkerUnderTest

if TYPE_CHECKING:
    from ...roles.worker_runtime import Runtime
    from ...routing.keys import Key
    from ..gunicorn_types import Settings

__all__ = ["FedWorker"]


class FedWorker(LeavingWorker):
    """A worker of a cluster, less its engine."""

    sockets: list[Any]
    wsgi: Any
    _keys: tuple[Key, ...] | None

    # --- what gunicorn calls -------------------------------------------------------------------

    @classmethod
    def setup(cls) -> None:
        """Called by gunicorn when it has the class, before it tells the service manager anything."""
        hold_back_ready()
        let_forks_await(cls.awaits_handlers)

    @classmethod
    def check_config(cls, cfg: Settings, log: Log) -> None:
        """Called by gunicorn just before the first fork; see :mod:`nodecluster_compat._gunicorn.arbiter.install`."""
        install.check_config(cfg)
        warn_of_foreign_settings(cfg, log, cls.foreign_settings)

    def __init__(self, *args: object, **kwargs: object) -> None:
        # Made before the fork and therefore without an engine.
        self._alive = True
        self._birth: Birth | None = None
        self._runtime: Runtime | None = None
        self.served: dict[int, ServedListener] = {}
        self._routes: RequestRouting | None = None
        self._beat: LoopBeat | None = None
        self._title: ProcessTitle | None = None
        settings = settings_in_force()
        self.handshake_timeout = settings.handshake_timeout
        self.request_timeout = settings.request_timeout
        self._keys = routing_in_force()
        self.request_id_header = settings.request_id_header
        self._due_after = requests_of(settings.recycling, random.random)  # requests; 0 once that is said, and for never
        super().__init__(*args, **kwargs)

    @property
    def alive(self) -> bool:
        """Extends gunicorn's attribute: setting it to false wakes the main greenlet or thread at once."""
        return self._alive

    @alive.setter
    def alive(self, value: bool) -> None:
        self._alive = value
        if self._runtime is not None:
            self.wake()

    def init_process(self) -> None:
        """Extends gunicorn's: the worker is connected to its primary while it boots, and holds no listening socket."""
        end_if_child()
        self._birth = this_birth()
        if self._birth is None:
            self.log.warning("This arbiter is not a cluster arbiter (a reload changed worker_class): restart gunicorn")
        self._show("booting")
        if self.cfg.initgroups and self.cfg.gid != os.getgid():
            os.setgid(self.cfg.gid)  # with initgroups gunicorn adds the groups and forgets the group itself
        if self._birth is not None and self._birth.served:
            for listener in self.sockets:
                listener.close()
            self.served = {served.listener_id: ServedListener(served, self.cfg) for served in self._birth.served}
            self.sockets = []
        super().init_process()

    def _show(self, state: str = "") -> None:
        """Say in the list of processes who this is, and how it is if that is not the usual."""
        if self._birth is not None:
            if self._title is None:
                self._title = ProcessTitle("gunicorn")
            self._title.say(f"worker {self._birth.member.slot} [{self.cfg.proc_name}] {state}".rstrip())

    def init_signals(self) -> None:
        """Extends gunicorn's: now that handlers exist, what was held back since the fork is delivered."""
        super().init_signals()
        self._runtime = runtime = self.make_runtime()
        if self._birth is not None:
            os.environ.update(self._birth.member.env)
            on_parent_death()
            self._birth.member.attach(runtime)
            obey = Obedience(self._birth.notebook).obey
            stacks = self.engine.stacks
            self._beat = LoopBeat(self._birth.heartbeat, runtime, stacks, obey, self.load, self.interrupted)
            self._beat.listen()  # already now: a boot that hangs is worth a question
            under_test.connect_worker(WorkerUnderTest(runtime, self.engine, self.throw, self._birth))
        release_signals()

    def load_wsgi(self) -> None:
        """Extends gunicorn's: hooks and applications that look at ``sockets`` find addresses there."""
        if self.served:
            self.sockets = list(self.served.values())
        under_test.reach("boot")
        super().load_wsgi()
        end_if_child()
        self.wsgi = self.wrap(self.wsgi)
        self._begin_routing()
        at_end(self._let_go_of_application)

    def _begin_routing(self) -> None:
        """Find out by which keys requests are routed, now that the application is loaded."""
        if self._birth is None or not self.served or not routes_here(self.cfg, self._keys, self.log):
            self._keys = ()
            return
        worker_id = self._birth.member.id
        self._keys = keys_in_force(self._keys)
        issuing = issuing_keys(self._keys)
        if issuing:
            self.wsgi = self.issue(self.wsgi, issuing, worker_id)

    def make_feed(self, birth: Birth, membership: Membership) -> Feed:
        """Return what brings the primary's connections, and routes them."""
        speaks_http = getattr(self.cfg, "protocol", "http") != "uwsgi"
        feed = Feed(birth, membership, self.served, self.wake, self.log, speaks_http=speaks_http)
        routes = RequestRouting(self._keys or (), birth.member.id, birth.members, feed, self.cfg, self.log)
        if self._keys:
            feed.routes = self._routes = routes
        else:
            feed.unrouted = routes
        return feed

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
        assert self._runtime is not None
        warn_of_replaced(self.log, self._handlers)
        assert self._beat is not None
        self._beat.start()
        self._run_member(self._birth, self._runtime, Membership(self._birth, self._due_after))

    def _run_member(self, birth: Birth, runtime: Runtime, membership: Membership) -> None:
        self.make_ready()
        begin_socketio(birth.member.id, runtime.call_soon)
        source = self._serve(self.make_source(birth, membership), membership) if self._alive else None
        self._show("draining")
        membership.ends(self.nr)
        if not self._signalled:
            membership.leaves()
        if source is not None:
            source.stop()
        drain = self._finish_requests(birth, runtime, source)
        self._finish_background(drain.seconds_left)
        self.end_application(drain.seconds_left)
        membership.ends(self.nr)
        membership.finish()

    def _serve(self, source: ConnectionSource, membership: Membership) -> ConnectionSource:
        self.notify()  # gunicorn's timeout counts from the first sign of life
        source.begin()
        self._show()
        while self.alive:
            self.notify()
            self.wait(self._patience)
            source.turn()
            membership.served(self.nr)
        return source
