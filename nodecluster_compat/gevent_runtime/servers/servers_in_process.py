"""Say what a server asks of its process: where sockets come from, what keeps it alive, who hears of an error.

There are three kinds of processes: a worker (asks the primary for its sockets), a script's primary and a plain program
(both bind for themselves).  Exactly one is current; a fork that makes a worker replaces it.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event

from ...errors import ListenError
from ...machine.binding import BoundSocket, bind
from ..keep_alive import KeepAlive
from .local_socket import LocalSocket

if TYPE_CHECKING:
    from ...base.records import ListenRequest
    from .server_socket import OpenServer

__all__ = ["ServersBoundHere", "ServersInProcess", "ServersInProgram", "let_go", "servers_here", "set_servers_here"]


class ServersInProcess:
    """The servers of this process; the base of the three kinds.

    Attributes:
        open: those that listen, or will, or wait for their last connections.
        keep_alive: those of them that keep this process alive.
    """

    def __init__(self) -> None:
        self.open: set[OpenServer] = set()
        self.keep_alive = KeepAlive()

    binds_at_once = False
    """Whether ``listen()`` without a host to look up has its socket when it returns, as in a primary of Node's."""

    @property
    def is_ending(self) -> bool:
        """Whether this process is about to end: what it took from a socket now would be lost."""
        return False

    def opened(self, server: OpenServer) -> None:
        """A server listens, or will: it keeps this process alive, unless it was told not to."""
        self.open.add(server)
        self.holding_changed(server)

    def closed(self, server: OpenServer) -> None:
        """A server is closed."""
        self.open.discard(server)
        self.holding_changed(server)

    def abandoned(self, server: OpenServer) -> None:
        """A server was closed before it had its socket, which may never come: it keeps nobody alive."""
        self.keep_alive.release(server)

    def holding_changed(self, server: OpenServer) -> None:
        """A server was opened, closed, or told whether to keep this process alive."""
        if server.holds and server in self.open:
            self.keep_alive.hold(server)
        else:
            self.keep_alive.release(server)

    def bind(self, server: OpenServer, request: ListenRequest, exclusive: bool) -> None:
        """Get a socket for a server; :meth:`OpenServer.bound` or :meth:`OpenServer.failed` follows."""
        raise NotImplementedError

    def room_made(self) -> None:
        """A connection has ended."""

    def uncaught(self, error: BaseException) -> None:
        """Nobody listens for this error: the program ends as after an uncaught exception."""
        raise NotImplementedError

    def spawn(self, call: Callable[..., Any], *args: object) -> None:
        """Run ``call`` in a greenlet; an exception is reported and harms nothing else."""
        gevent.spawn(call, *args)

    def bind_own(self, server: OpenServer, request: ListenRequest, syscall: str = "listen") -> None:
        """Bind in this process, and accept here; a failure is told on a later turn, to whoever listens then."""
        try:
            bound = bind(request, syscall=syscall)
        except ListenError as error:
            self.spawn(server.failed, error)
        else:
            self.adopt(server, bound)

    def adopt(self, server: OpenServer, bound: BoundSocket) -> None:
        """Let a server have a socket that exists already."""
        server.bound(LocalSocket(bound, server))


class ServersBoundHere(ServersInProcess):
    """The servers of a process that binds for itself."""

    binds_at_once = True

    def bind(self, server: OpenServer, request: ListenRequest, exclusive: bool) -> None:
        """See :class:`ServersInProcess`."""
        self.bind_own(server, request, "bind" if request.is_udp else "listen")


class ServersInProgram(ServersBoundHere):
    """The servers of a program that no cluster started: while one listens it outlives its last line, as in Node."""

    def __init__(self) -> None:
        super().__init__()
        self._failed = False
        self._waiting = False
        self._changed = Event()

    def opened(self, server: OpenServer) -> None:
        """See :class:`ServersInProcess`."""
        super().opened(server)
        if not self._waiting:
            self._waiting = True
            atexit.register(self._serve)

    def uncaught(self, error: BaseException) -> None:
        """See :class:`ServersInProcess`."""
        sys.excepthook(type(error), error, error.__traceback__)
        self._failed = True
        self._changed.set()

    def holding_changed(self, server: OpenServer) -> None:
        """See :class:`ServersInProcess`."""
        super().holding_changed(server)
        self._changed.set()

    def _serve(self) -> None:
        """At the end of the program: until no server keeps it alive."""
        while self.keep_alive and not self._failed:
            self._changed.wait()
            self._changed.clear()
        if self._failed:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)


class _ThisProcess:
    servers: ServersInProcess | None = None


def set_servers_here(servers: ServersInProcess | None) -> None:
    """This process is of another kind from now on."""
    _ThisProcess.servers = servers


def let_go() -> None:
    """The process ends: refer to no server."""
    set_servers_here(None)


def servers_here() -> ServersInProcess:
    """Return the servers of this process; one that nothing was said of is a plain program."""
    if _ThisProcess.servers is None:
        _ThisProcess.servers = ServersInProgram()
    return _ThisProcess.servers
