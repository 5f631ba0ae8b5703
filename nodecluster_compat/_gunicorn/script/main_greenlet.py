"""Serve in a script's worker: its servers and its drain, until nothing that the script has started is left.

Phases: running the script → serving (the channel keeps it alive) → draining (servers close, connections end) →
disconnected → ended, when nothing that the script has started is left (Node: an empty loop).
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent import GreenletExit, get_hub, getcurrent
from gevent.event import Event

from ... import under_test
from ...base.exit_code import exit_code_of
from ...gevent_runtime.reactor import GeventReactor
from ...gevent_runtime.servers.net_server import NetServer
from ...gevent_runtime.servers.server_socket import OpenServer
from ...gevent_runtime.servers.servers_in_process import set_servers_here
from ...gevent_runtime.servers.servers_in_worker import ServersInWorker
from ...gevent_runtime.uncaught import Uncaught
from ...machine.forked_child import end_if_child
from ...machine.last_words import limit_last_words
from ...roles.process import process
from ..arbiter import forking
from ..worker.gevent_worker import GeventEngine
from ..worker.loop_beat import LoopBeat
from ..worker.obeying import Obedience
from ..worker.under_test import WorkerUnderTest

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..arbiter.birth import Birth
    from ..gunicorn_types import GunicornLog

__all__ = ["MainGreenlet"]

_LAST_WORDS_SECONDS: Final = 1.0


class MainGreenlet(GeventReactor):
    """The main greenlet of a script worker, and the runtime that :class:`ClusterWorker` asks.

    Args:
        birth: what the worker was born with.
        log: gunicorn's.
    """

    def __init__(self, birth: Birth, log: GunicornLog) -> None:
        super().__init__()
        self._member = birth.member
        self._log = log
        self._greenlet = getcurrent()
        self._has_left = False
        self._exit_code: int | None = None
        self._draining = False
        self._drain_limits: list[Any] = []
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

    def completes(self, call: Callable[[], None]) -> bool:
        """Call ``call`` here, and return whether it came to its end.

        What it does not catch ends the worker, unless a listener of ``process`` lets it go on.
        """
        try:
            call()
        except (SystemExit, GreenletExit):
            raise
        except BaseException as error:  # noqa: BLE001 - uncaught in the script: as Python ends on it
            end_if_child(error)
            self.uncaught(error)
            self._leave_if_ending()
            return False
        return True

    def _leave_if_ending(self) -> None:
        """On the main greenlet: end the process now if it is to end."""
        if self._exit_code is not None:
            self._exit_callback.stop()
            raise SystemExit(self._exit_code)

    def serve(self) -> None:
        """Serve until nothing holds this process: no channel, no server, no timer, no greenlet that waits."""
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
            self._drain_limits.append(timer)
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

    def ending(self) -> None:
        """The main greenlet is on its way out: throw no second exit into it; end connections, which hold the script."""
        if self._exit_callback is not None:
            self._exit_callback.stop()
        self._cut_all()
        self._uncaught.let_go()

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
        sys.exit(self._exit_code)  # in a thread of the script's it ends that alone, silently

    def orphaned(self) -> None:
        """The channel is lost and nobody asked for it: end with 0, soon whatever happens."""
        limit_last_words(_LAST_WORDS_SECONDS)
        self.exit_now(0)

    def tell_exit(self, code: int) -> None:
        """Emit ``exit`` on ``process``, once."""
        process.ended(code)

    def uncaught(self, error: BaseException) -> None:
        """Judge an exception that nobody caught; see ``gevent_runtime/uncaught``."""
        self._uncaught.take(error)

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
        for timer in self._drain_limits:
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
