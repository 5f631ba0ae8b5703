"""Do what a worker of a cluster does whatever its engine: greenlets, threads, asyncio.

``FedWorker`` is mixed in front of one of gunicorn's worker classes.  That class, with what an engine's module adds,
serves connections; what is here is how they get to it (``feed``, ``connection_source``) and how the worker begins and
ends (``membership``, ``draining``):

    born ──``init_signals``──▶ its runtime is up: messages flow ──``run``──▶ listens ──not ``alive``──▶ drains ──▶ ends

A worker whose arbiter is not ours (a reload from another worker class) accepts for itself, like its base class.

Nothing here knows an engine: ``lint-imports`` holds that.
"""

from __future__ import annotations

import os
import random
import signal as signals
from collections.abc import Callable, Mapping
from types import FrameType, MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ... import under_test
from ...base.guarded import let_forks_await
from ...base.log import Log
from ...base.records import NO_LOAD, Load
from ...lifecycle.recycling import requests_of
from ...machine.forked_child import end_if_child
from ...machine.last_words import limit_last_words
from ...machine.process_title import ProcessTitle
from ...machine.replaced_handlers import warn_of_replaced
from ...routing.issued_wsgi import issued_wsgi
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
from .connections import Connections
from .draining import Drain
from .feed import Feed
from .foreign_settings import warn_of_foreign_settings
from .interfaces import refuse_asgi
from .loop_beat import LoopBeat
from .membership import Membership
from .obeying import Obedience
from .routes import Routes, issuing_keys, keys_in_force, routes_here
from .under_test import Examined, WorkerUnderTest

if TYPE_CHECKING:
    from gunicorn.workers.base import Worker as _Base

    from ...roles.worker_runtime import Runtime
    from ...routing.issued import IssuingKey
    from ...routing.keys import Key
    from ..gunicorn_types import GunicornLog, Settings
else:
    _Base = object  # the real base is one of gunicorn's worker classes, behind this one

__all__ = ["FedWorker"]

_NOTIFY_SECONDS: Final = 1.0
_LAST_WORDS_SECONDS: Final = 1.0


class FedWorker(_Base):  # type: ignore[misc]  # gunicorn has no type hints
    """A worker of a cluster, less its engine.

    Attributes:
        awaits_handlers: whether there is an event loop, so that handlers may be ``async def`` functions.
        engine: what it shows of itself to who examines it.
        connections: for the drain.
        foreign_settings: what is for other kinds, by name.
        ends_connections: answers say so, also to requests that came before; see :meth:`begin_drain`.
    """

    is_cluster_worker = True
    awaits_handlers = False

    cfg: Settings
    log: GunicornLog
    nr: int
    timeout: float
    sockets: list[Any]
    wsgi: Any

    foreign_settings: ClassVar[Mapping[str, str]] = MappingProxyType({})
    engine: Examined
    connections: Connections
    _keys: tuple[Key, ...] | None

    # --- what an engine adds -------------------------------------------------------------------

    @classmethod
    def prepare(cls, cfg: Settings, log: Log) -> None:
        """In the primary, before the first fork: import what every worker needs, say what cannot go well."""
        raise NotImplementedError

    def make_runtime(self) -> Runtime:
        """Return the runtime; signal handlers exist from now on."""
        raise NotImplementedError

    def make_source(self, birth: Birth, membership: Membership) -> ConnectionSource:
        """Return where the connections come from: dealt by the primary, or accepted here."""
        raise NotImplementedError

    def wrap(self, application: Any) -> Any:  # noqa: ANN401 - of whatever interface
        """Return the application as it is served under test, or as it is.

        Raises:
            AppImportError: it is of the other interface.
        """
        refuse_asgi(application)
        return under_test.wrap(application)

    def issue(self, application: Any, keys: list[IssuingKey], worker_id: int) -> Any:  # noqa: ANN401 - as above
        """Return the application with what ``keys`` put into its answers."""
        return issued_wsgi(application, keys, worker_id)

    def make_ready(self) -> None:
        """The application is loaded, and connections come soon."""

    def end_application(self, seconds: float) -> None:
        """No connection is left: end what else the application runs, within so many seconds."""

    def load(self) -> Load:
        """Return how busy its threads are, where it has any."""
        return NO_LOAD

    def interrupted(self) -> None:
        """In a signal handler of the main thread, wherever that is: called by the signal for last words."""

    def wait(self, seconds: float) -> None:
        """Let the engine run until :meth:`wake` is called, at most ``seconds``."""
        raise NotImplementedError

    def wake(self) -> None:
        """End :meth:`wait`; may be called before it, anywhere, also in a signal handler."""
        raise NotImplementedError

    def throw(self, error: BaseException) -> None:
        """Raise ``error`` in the main greenlet or thread, soon, whatever it does by then."""
        raise NotImplementedError

    def end_caller(self, code: int) -> None:
        """End what has called ``process.exit()``, of which :meth:`throw` was told."""
        raise NotImplementedError

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
        self.ends_connections = False
        self._exit_code: int | None = None
        self._signalled = False
        self._birth: Birth | None = None
        self._runtime: Runtime | None = None
        self.served: dict[int, ServedListener] = {}
        self._routes: Routes | None = None
        self._drain: Drain | None = None
        self._beat: LoopBeat | None = None
        self._closes_idle = False
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
        """Extends gunicorn's attribute: whoever sets it to false wakes the main greenlet or thread at once."""
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
        feed = Feed(birth, membership, self.served, self.wake, self.log)
        routes = Routes(self._keys or (), birth.member.id, birth.members, feed, self.cfg, self.log)
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

    @property
    def _patience(self) -> float:
        # self.timeout is half of the setting: a sign of life a second would come too late for timeout = 1
        return min(_NOTIFY_SECONDS, self.timeout or _NOTIFY_SECONDS)

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
