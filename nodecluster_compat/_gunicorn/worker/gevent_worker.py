"""The worker class: gunicorn's gevent worker, fed by the primary instead of accepting.

``GeventWorker`` serves a connection exactly as it does for ``-k gevent`` (keep-alive, HTTP/2, PROXY protocol,
limits, hooks, access log: its ``handle``); what is ours is how a connection gets here and how the worker ends.

Phases: booting (``online`` has been said, TERM is held back) → serving (``listening`` has been said) → draining (no
further connection, requests in flight finish: ``draining``) → finished (channel closed, so the primary tells
``disconnect``).

A worker whose arbiter is not ours (a reload from another worker class) accepts for itself, like its base class.
"""

from __future__ import annotations

import _socket
import os
import random
import signal as signals
import socket as sockets
import ssl
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from gevent import GreenletExit, Timeout, get_hub, getcurrent
from gevent.event import Event
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn.sock import ssl_context
from gunicorn.workers.ggevent import GeventWorker

from ... import under_test as test_mode
from ...base.emitter import Log
from ...connections.receiver import Receiver
from ...lifecycle.recycling import requests_of
from ...runtime.client_socket import ClientSocket
from ...runtime.gevent_reactor import GeventReactor
from ...runtime.greenlet_pool import GreenletPool
from ...runtime.idle_limit import IdleLimit
from ...runtime.loop_beat import LoopBeat
from ...runtime.patching import patching
from ..arbiter import install
from ..arbiter.forking import Birth, release_signals, this_birth
from ..arbiter.in_force import settings_in_force
from ..arbiter.parent_death import on_parent_death
from ..arbiter.service import hold_back_ready
from ..requests import savings as serving
from ..requests.clean_requests import use_clean_requests
from ..requests.request_waits import knows_idle, tell_waits
from ..requests.served_listener import ServedListener, address_of
from .draining import Drain
from .under_test import WorkerUnderTest

__all__ = ["ClusterGeventWorker"]

_NOTIFY_SECONDS: Final = 1.0
_LAST_WORDS_SECONDS: Final = 1.0


class ClusterGeventWorker(GeventWorker):  # type: ignore[misc]  # gunicorn has no type hints
    """``gunicorn -k nodecluster_compat.Worker``."""

    is_cluster_worker = True
    sockets: list[Any]

    @classmethod
    def setup(cls) -> None:
        """Called by gunicorn when it has the class, before it tells the service manager anything."""
        hold_back_ready()

    @classmethod
    def check_config(cls, cfg: Any, log: Log) -> None:
        """Called by gunicorn just before the first fork; see :mod:`nodecluster_compat._gunicorn.arbiter.install`."""
        install.check_config(cfg)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Made before the fork and therefore without gevent: events come with the signals.
        self._changed: Event | None = None  # set at whatever the main greenlet may wait for
        self._alive = True
        self._exit_code: int | None = None
        self._signalled = False
        self._birth: Birth | None = None
        self._served: dict[int, ServedListener] = {}
        self._serving: dict[Any, Any] = {}  # the sockets of the connections by greenlet, None before they are made
        self._tls: ssl.SSLContext | None = None
        self._idle_limit: IdleLimit | None = None
        self._request_wait: Any = None
        self._receiver: Receiver
        self._greenlets: GreenletPool
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
        if self._birth is not None:
            os.environ.update(self._birth.member.env)
            on_parent_death()
            runtime = _Runtime(self)
            self._birth.member.attach(runtime)
            test_mode.connect_worker(WorkerUnderTest(runtime, self._throw))
        release_signals()

    def load_wsgi(self) -> None:
        """Extends gunicorn's: hooks and applications that look at ``sockets`` find addresses there."""
        if self._served:
            self.sockets = list(self._served.values())
        test_mode.reach("boot")
        super().load_wsgi()
        self.wsgi = test_mode.wrap(self.wsgi)

    # --- serving -------------------------------------------------------------------------------

    def run(self) -> None:
        """Replaces gunicorn's for workers that the primary feeds; extends it for those that accept."""
        test_mode.reach("ready")
        if self._birth is None:
            super().run()
            return
        self._beat = LoopBeat(self._birth.heartbeat)
        self._beat.start()
        if self._served:
            self._run_fed(self._birth)
        else:
            self._run_accepting(self._birth)

    @property
    def _patience(self) -> float:
        # self.timeout is half of the setting: a sign of life a second would come too late for timeout = 1
        return min(_NOTIFY_SECONDS, self.timeout or _NOTIFY_SECONDS)

    def _run_accepting(self, birth: Birth) -> None:
        """As the base class runs, except that it ends as a fed worker does."""
        self.wsgi = serving.with_one_send(self.wsgi, self)
        self._idle_limit = IdleLimit(self.cfg.keepalive)
        self._request_wait = tell_waits(self.cfg, self._idle_limit)
        servers = [self._acceptor(listener) for listener in self.sockets]
        for server, listener in zip(servers, self.sockets, strict=True):
            server.start()
            birth.member.announce_listening(0, address_of(listener))
        while self.alive:
            self.notify()
            self._wait(self._patience)
            self._tell_if_due(birth)
        self._announce_leaving(birth)
        for server in servers:
            server.close()
        self._drain(birth, lambda: True)
        self._finish(birth)

    def _acceptor(self, listener: Any) -> StreamServer:
        listener.setblocking(True)
        tls = {"ssl_context": ssl_context(self.cfg)} if self.cfg.is_ssl else {}
        serve = partial(self._serve_accepted, listener)
        server = StreamServer(listener, handle=serve, spawn=Pool(self.worker_connections), **tls)
        if self.cfg.workers > 1:
            server.max_accept = 1
        return server

    def _serve_accepted(self, listener: Any, client: Any, peer: Any) -> None:
        self._serving[getcurrent()] = client
        try:
            self.handle(listener, client, peer)
        finally:
            self._ended()

    def _run_fed(self, birth: Birth) -> None:
        self._tls = ssl_context(self.cfg) if self.cfg.is_ssl else None
        self.wsgi = serving.with_one_send(self.wsgi, self)
        serving.save_work(self.cfg)
        self._idle_limit = IdleLimit(self.cfg.keepalive)
        self._request_wait = use_clean_requests(self.cfg, self._idle_limit)
        self._greenlets = GreenletPool(self._serve)
        self._receiver = birth.receiver = Receiver(
            birth.connections, self._take, self._has_room, self._wake, self._primary_gone
        )
        self._receiver.start(GeventReactor())
        self.notify()  # gunicorn's timeout counts from the first sign of life
        for number, listener in self._served.items():
            birth.member.announce_listening(number, address_of(listener))
        test_mode.reach("listening")
        while self.alive:
            self.notify()
            self._wait(self._patience)
            # Room is told when a connection ends; what else this process ran out of comes back untold.
            self._receiver.room_made()
            self._tell_if_due(birth)
        self._announce_leaving(birth)
        self._receiver.stop()
        self._drain(birth, lambda: self._receiver.has_left)
        self._finish(birth)

    def _tell_if_due(self, birth: Birth) -> None:
        if self._due_after and self.nr >= self._due_after:
            self._due_after = 0
            birth.member.announce_due()

    def timeout_ctx(self) -> Any:
        """Replaces gunicorn's, which makes a timer for each wait."""
        return self._request_wait or super().timeout_ctx()

    def _has_room(self, _: int) -> bool:
        room: bool = len(self._serving) < self.worker_connections
        return room

    def _take(self, listener_id: int, fd: int) -> None:
        self._serving[self._greenlets.start(self._served[listener_id], fd)] = None

    def _serve(self, listener: ServedListener, fd: int) -> None:
        """In a greenlet of its own: serve one connection to its end."""
        client: Any = None
        try:
            client = ClientSocket(listener.family, sockets.SOCK_STREAM, 0, fileno=fd)
            peer = client.getpeername()
            if self._tls is not None:
                with Timeout(self._handshake_timeout or None, TimeoutError("no TLS handshake in time")):
                    client = self._tls.wrap_socket(client, server_side=True)
            self._serving[getcurrent()] = client
            self.handle(listener, client, peer)
        except OSError as error:
            # gone before it was served, or it does not speak TLS: nobody to answer
            self.log.debug("Closing a connection before its first request: %s", error)
        finally:
            if client is not None:
                client.close()
            else:
                _socket.close(fd)  # not even a socket object could be made of it
            self._ended()
            self._receiver.room_made()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Extends gunicorn's: under test its error page, too, says whose it is."""
        super().handle_error(req, test_mode.mark(client), addr, exc)

    def _ended(self) -> None:
        self._serving.pop(getcurrent(), None)
        if not self._alive and not self._serving:
            self._wake()

    def _primary_gone(self) -> None:
        if self._birth is not None and self._birth.member.exited_after_disconnect is None:
            self._birth.member.lose_channel()

    # --- ending --------------------------------------------------------------------------------

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Extends gunicorn's: a worker that a signal ends does not leave by its own wish."""
        self._signalled = True
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Extends gunicorn's: as :meth:`handle_exit`."""
        self._signalled = True
        super().handle_quit(sig, frame)

    def handle_abort(self, sig: int, frame: Any) -> None:
        """Extends gunicorn's: as :meth:`handle_exit`; this one is the master's time-out."""
        self._signalled = True
        super().handle_abort(sig, frame)

    def exit_now(self, code: int) -> None:
        """End with ``code``, whatever phase the main greenlet is in; called by any greenlet, the first code counts."""
        if self._exit_code is not None:
            return
        self._exit_code = code
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
        signals.signal(signals.SIGALRM, signals.SIG_DFL)
        signals.setitimer(signals.ITIMER_REAL, _LAST_WORDS_SECONDS)
        self.exit_now(0)

    def _drain(self, birth: Birth, has_left: Callable[[], bool]) -> None:
        """Requests in flight finish, in ``graceful_timeout`` or the time that was given."""
        asked = birth.member.drain_timeout
        seconds = self.cfg.graceful_timeout if asked is None else asked
        waits = self._idle_limit if knows_idle(self.cfg) else None
        drain = Drain(self._serving, waits, seconds, birth.member.tell_disconnecting, self._wake, self.log)
        while not (drain.is_over and has_left()):
            patience = min(self._patience, drain.seconds_left)
            if patience <= 0:
                drain.cut()
                return
            self.notify()
            self._wait(self._patience)

    def _announce_leaving(self, birth: Birth) -> None:
        """Nobody asked from outside, so this end is the worker's own wish: max_requests, a changed file."""
        if not self._signalled:
            birth.member.announce_leaving()

    def _finish(self, birth: Birth) -> None:
        birth.member.finish()
        if birth.receiver is not None:
            birth.receiver.close()


class _Runtime(GeventReactor):
    """This kind of worker, as :class:`~nodecluster_compat.roles.this_worker.ClusterWorker` needs it."""

    def __init__(self, worker: ClusterGeventWorker) -> None:
        super().__init__()
        self._worker = worker

    def begin_drain(self) -> None:
        """Take no more connections, finish those in flight, then end."""
        self._worker.alive = False

    def exit_now(self, code: int) -> None:
        """End this process without waiting for requests."""
        self._worker.exit_now(code)

    def leave_caller(self) -> None:
        """End the calling greenlet; the main one is on its way out."""
        self._worker.leave_caller()

    def orphaned(self) -> None:
        """End this process: its primary is gone."""
        self._worker.orphaned()
