"""Run script mode's worker: the script again as ``__main__``, then its servers until its primary lets it go.

Phases: born (``online`` has been said) → running the script → serving (the channel keeps it alive) → draining (servers
close, connections end) → disconnected → ended, when nothing that the script started is left (Node: an empty loop).

Signals do what they do to any program: SIGTERM kills.
"""

from __future__ import annotations

import os
import signal as signals
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent import GreenletExit, get_hub, getcurrent
from gevent.event import Event
from gunicorn.workers.base import Worker

from ... import under_test
from ...base.exit_code import exit_code_of
from ...machine.forked_child import end_if_child
from ...machine.last_words import limit_last_words
from ...machine.process_title import ProcessTitle
from ...roles.process import process
from ...runtime.forked_hub import hub_begins
from ...runtime.gevent_reactor import GeventReactor
from ...runtime.patching import patch_worker
from ...runtime.script import run_script
from ...runtime.servers.net_server import NetServer
from ...runtime.servers.server_socket import OpenServer
from ...runtime.servers.servers_in_process import set_servers_here
from ...runtime.servers.servers_in_worker import ServersInWorker
from ...runtime.signal_handlers import let_handlers_wait
from ...runtime.uncaught import Uncaught
from ..arbiter import forking
from ..arbiter.current_settings import settings_in_force
from ..worker.gevent_imports import prepare_quietly
from ..worker.gevent_worker import GeventEngine
from ..worker.loop_beat import LoopBeat
from ..worker.obeying import Obedience
from ..worker.under_test import WorkerUnderTest
from . import config as script_config
from .ending import forget_inherited_endings

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...base.log import Log
    from ..arbiter.birth import Birth
    from ..gunicorn_types import GunicornLog, Settings

__all__ = ["ScriptWorker"]

_LAST_WORDS_SECONDS: Final = 1.0
_DEFAULT: Final = forking.HELD_SIGNALS | {signals.SIGHUP, signals.SIGCHLD}


class ScriptWorker(Worker):  # type: ignore[misc]  # gunicorn has no type hints
    """One worker of ``nodecluster script``."""

    is_cluster_worker = True

    @classmethod
    def prepare(cls, cfg: Settings, log: Log) -> None:
        """In the primary, before the first fork: import what every worker needs."""
        prepare_quietly(cfg)

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._settings = settings_in_force()  # before the fork: a worker has no settings

    def init_process(self) -> None:
        """Replaces gunicorn's: there is no application to load and nothing to accept on."""
        birth = forking.this_birth()
        assert birth is not None
        self._enter(birth)
        main = _Main(birth, self.log)
        self._drop_rights()
        under_test.reach("boot")
        try:
            _judged(main, self._run_script)
            while not _judged(main, main.serve):
                pass  # a listener of ``process`` has said that it may go on
        except (SystemExit, GreenletExit) as error:
            end_if_child(error)
            main.is_ending()
            if isinstance(error, SystemExit):
                raise SystemExit(process.ended(exit_code_of(error))) from None
            raise
        birth.member.flush()
        main.tell_exit(process.exit_code or 0)
        main.is_ending()
        raise SystemExit(process.exit_code or 0)

    def _run_script(self) -> None:
        settings = self.app.spawn_settings
        run_script(settings.script, settings.args)
        end_if_child()
        under_test.reach("ready")

    def _drop_rights(self) -> None:
        """Become another user; only now, because that one may not be able to read where Python's own modules are."""
        settings = self.app.spawn_settings
        if settings.uid is not None or settings.gid is not None:
            with suppress(PermissionError):  # not root's to give away, as in Node
                os.setgroups([])
        if settings.gid is not None:
            os.setgid(settings.gid)
        if settings.uid is not None:
            os.setuid(settings.uid)

    def _enter(self, birth: Birth) -> None:
        """Become the process that the settings describe."""
        settings = self.app.spawn_settings
        for number in _DEFAULT:
            signals.signal(number, signals.SIG_DFL)
        forget_inherited_endings()
        # Collected, it would close its files, whose descriptors may be numbers of our streams now.
        self._script_of_primary = sys.modules["__main__"]
        self.app.streams.take()
        if settings.cwd is not None:
            os.chdir(settings.cwd)
        script_config.with_settings(self.cfg, settings.serving)
        if settings.serving:
            self.log.setup(self.cfg)
        script_config.set_config(self.cfg, self.log, self._settings)
        patch_worker()
        hub_begins()
        let_handlers_wait()
        ProcessTitle("nodecluster").begin(f"worker {birth.member.slot} [{settings.script}]")
        self.booted = True


def _judged(main: _Main, call: Callable[[], None]) -> bool:
    """Call on the main greenlet; what is not caught ends the worker, unless a listener of ``process`` lets it go on.

    Returns:
        Whether it came to its end.
    """
    try:
        call()
    except (SystemExit, GreenletExit):
        raise
    except BaseException as error:  # noqa: BLE001 - uncaught in the script: as Python ends on it
        end_if_child(error)
        main.uncaught(error)
        main.leave_if_ending()
        return False
    return True


class _Main(GeventReactor):
    """The main greenlet of a script worker, and the runtime that :class:`ClusterWorker` asks."""

    def __init__(self, birth: Birth, log: GunicornLog) -> None:
        super().__init__()
        self._member = birth.member
        self._log = log
        self._greenlet = getcurrent()
        self._has_left = False
        self._exit_code: int | None = None
        self._draining = False
        self._settings: list[Any] = []
        self._cut_off = Event()
        self._exit_callback: Any = None
        self._servers = ServersInWorker(birth.member, birth.connections, self._primary_gone, self.uncaught)
        birth.receives(self._servers.receiver)
        set_servers_here(self._servers)
        birth.on_abandoned = partial(set_servers_here, None)
        self._uncaught = Uncaught(process, self._end_uncaught, self._asked_to_exit)
        self._uncaught.watch()
        process.signals.run_by(partial(get_hub().loop.run_callback_threadsafe, gevent.spawn))
        self._beat = LoopBeat(birth.heartbeat, self, GeventEngine.stacks, Obedience(birth.notebook).obey)
        self._servers.receiver.start(self)
        birth.member.attach(self)
        under_test.connect_worker(WorkerUnderTest(self, GeventEngine(), self._throw, birth))
        forking.release_signals()

    def serve(self) -> None:
        """Until nothing is left: no channel or server that holds this process, no timer, no greenlet that waits."""
        self._beat.start()
        gevent.wait()
        while process.emit("beforeExit", process.exit_code or 0) and _has_more():
            gevent.wait()

    # --- the runtime of ClusterWorker ----------------------------------------------------------

    def begin_drain(self) -> None:
        """Close every server, and the channel after the last connection; asked again, only the limit is new."""
        if self._member.drain_timeout is not None:
            timer = get_hub().loop.timer(self._member.drain_timeout, ref=False)
            timer.start(gevent.spawn, self._cut, self._member.drain_timeout)
            self._settings.append(timer)
        if not self._draining:
            self._draining = True
            gevent.spawn(self._drain)

    def close_idle(self) -> None:
        """Nothing to add: servers that close end their idle connections, as in Node."""

    def exit_now(self, code: int) -> None:
        """End with ``code``; the first one counts."""
        if self._exit_code is None:
            self._exit_code = code
            self._servers.exiting()
            self._exit_code = process.ended(code)
            self._exit_callback = get_hub().loop.run_callback(self._greenlet.throw, SystemExit(self._exit_code))

    def is_ending(self) -> None:
        """The main greenlet is on its way out: throw no second exit into it; end connections, which hold the script."""
        if self._exit_callback is not None:
            self._exit_callback.stop()
        self._cut_all()
        self._uncaught.leave()

    def _cut_all(self) -> int:
        return sum(server.cut() for server in list(self._servers.open) if isinstance(server, NetServer))

    def _throw(self, error: BaseException) -> None:
        get_hub().loop.run_callback(self._greenlet.throw, error)

    def leave_caller(self) -> None:
        """End the calling greenlet; the main one takes the process along."""
        if getcurrent() is get_hub():
            return  # a signal handler that interrupted the wait: what it raises next reaches the main greenlet
        if getcurrent() is self._greenlet:
            self._exit_callback.stop()
        sys.exit(self._exit_code)  # a thread of the script's is left by it silently

    def orphaned(self) -> None:
        """The channel is lost and nobody asked for it: end with 0, soon whatever happens."""
        limit_last_words(_LAST_WORDS_SECONDS)
        self.exit_now(0)

    def tell_exit(self, code: int) -> None:
        """Emit ``exit`` on ``process``, once."""
        process.ended(code)

    def uncaught(self, error: BaseException) -> None:
        """Judge an exception that nobody caught; see ``runtime/uncaught``."""
        self._uncaught.take(error)

    def leave_if_ending(self) -> None:
        """On the main greenlet: end the process now if it is to end."""
        if self._exit_code is not None:
            self._exit_callback.stop()
            raise SystemExit(self._exit_code)

    def _end_uncaught(self, code: int, tells_exit: bool) -> None:
        if not tells_exit:
            process.end_untold()
        self._member.flush()
        self.exit_now(code)

    def _asked_to_exit(self, error: SystemExit) -> None:
        """Some greenlet, or a signal handler during the wait, has called ``sys.exit()``: as Python ends on it."""
        if isinstance(error.code, str):
            sys.stderr.write(f"{error.code}\n")
        self._end_uncaught(exit_code_of(error), True)

    def _drain(self) -> None:
        goodbye = gevent.spawn(self._member.tell_disconnecting, self._member.drain_timeout)
        closed = [self._closing(server) for server in list(self._servers.open)]
        for event in closed:
            event.wait()
        gevent.wait([goodbye, self._cut_off], count=1)
        self._leave()

    def _cut(self, seconds: float) -> None:
        """The limit of the drain: end what is left, and say how much it was."""
        count = self._cut_all()
        if not self._has_left:
            self._log.warning(
                "Worker drain timeout (pid:%s): cut %s connections that had not ended within %g s",
                process.pid,
                count,
                seconds,
            )
        self._cut_off.set()

    def _leave(self) -> None:
        for timer in self._settings:
            timer.close()
        self._member.leave()
        self._servers.receiver.close()
        self._has_left = True
        self.hold_channel(False)

    def _closing(self, server: OpenServer) -> Event:
        event = Event()
        server.close(lambda *_: event.set())
        return event

    def _primary_gone(self) -> None:
        if self._member.exited_after_disconnect is None:
            self._member.lose_channel()


def _has_more() -> bool:
    """Whether something was begun that keeps this process alive."""
    loop = get_hub().loop
    return bool(loop.pendingcnt or loop.activecnt or loop._callbacks)
