"""Run servers in a script's primary, beside its loop.

A hub of gevent runs them, on the primary's own thread: the loop waits *in* the hub, so either is served while the other
is idle.  The hub is made for the first server and is not gevent's default one: a worker that is forked leaves it alone
and starts with a fresh one, so nothing that was under way in the primary goes on in a worker.  (Watchers of the default
loop survive even its destruction.)
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import gevent
from gevent import Timeout, get_hub, getcurrent
from gevent._hub_local import get_hub_class, get_hub_if_exists
from gevent.event import Event
from gevent.hub import set_hub

from ...base.loop import Loop
from .server_socket import OpenServer
from .servers_in_process import ServersBoundHere

__all__ = ["ServersInPrimary"]


class ServersInPrimary(ServersBoundHere):
    """The servers of a primary.

    Args:
        loop: the primary's.
    """

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop
        self._hub: Any = None

    def opened(self, server: OpenServer) -> None:
        """See :class:`~nodecluster_compat.gevent_runtime.servers.servers_in_process.ServersInProcess`."""
        self.start()
        super().opened(server)

    def holding_changed(self, server: OpenServer) -> None:
        """Extends :class:`ServersInProcess`: the runner of the loop asks again whether something is left to do."""
        super().holding_changed(server)
        self._loop.wake()

    def start(self) -> None:
        """Run greenlets from now on, in the turns of the primary's loop."""
        if self._hub is None:
            if get_hub_if_exists() is None:
                set_hub(get_hub_class()(default=False))
            self._hub = get_hub()
            self._loop.wait_in = self._wait
            self._loop.wait_beside = self._wait_beside

    def spawn(self, call: Callable[..., Any], *args: object) -> None:
        """Extends :class:`ServersInProcess`: what was asked for is told before the program ends."""
        self.start()
        greenlet = gevent.spawn(call, *args)
        self.keep_alive.hold(greenlet)
        greenlet.link(self._done)

    def _done(self, greenlet: object) -> None:
        self.keep_alive.release(greenlet)
        self._loop.wake()

    def uncaught(self, error: BaseException) -> None:
        """See :class:`~nodecluster_compat.gevent_runtime.servers.servers_in_process.ServersInProcess`."""
        sys.excepthook(type(error), error, error.__traceback__)
        self._loop.call_soon(sys.exit, 1)

    def abandon(self) -> None:
        """In a forked worker: let go of the primary's hub and of the sockets of its servers."""
        self.keep_alive.abandon()
        for server in self.open:
            fd = server.passable_fd()
            if fd is not None:
                os.close(fd)
        if self._hub is not None:
            _kept.append(self._hub)  # never run again, and never collected: that would resume its greenlets
            if not self._hub.loop.default:
                os.close(self._hub.loop.fileno())
                set_hub(None)

    def _wait_beside(self, begin: Callable[[Callable[[], None]], None]) -> bool:
        """See :attr:`~nodecluster_compat.base.loop.Loop.wait_beside`."""
        here: Any = getcurrent()
        if here is self._hub or here.parent is not self._hub:
            return False
        event = Event()
        begin(event.set)
        event.wait()
        return True

    def _wait(self, fd: int, seconds: float) -> None:
        watcher = self._hub.loop.io(fd, 1)
        try:
            with Timeout(seconds, False):
                self._hub.wait(watcher)
        finally:
            watcher.stop()
            watcher.close()


_kept: list[Any] = []
