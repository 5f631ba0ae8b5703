"""What a server asks of its process, whatever the process is.

A *home* knows where sockets come from and what keeps the process alive.  There are three: a worker's (asks the
primary), a script's primary and a plain program (both bind for themselves).  Exactly one is current; a fork that makes
a worker replaces it.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import gevent
from gevent.event import Event

from ...errors import ListenError
from ...machine.binding import BoundSocket, bind
from .own_socket import OwnSocket

if TYPE_CHECKING:
    from ...base.records import Address, ListenRequest, SocketName

__all__ = ["Home", "ListeningSocket", "OwnHome", "PlainHome", "Sharer", "current_home", "set_home"]


class ListeningSocket(Protocol):
    """The socket of a server that listens, wherever it is accepted on."""

    @property
    def name(self) -> SocketName:
        """What it is bound to."""

    @property
    def family(self) -> int:
        """Its address family."""

    @property
    def fd(self) -> int | None:
        """Its descriptor; ``None`` when the primary has the only one."""

    def announce(self, address: Address) -> None:
        """The server has told its own listeners: tell the primary."""

    def close(self) -> None:
        """Take no more."""


class Sharer(Protocol):
    """A server or UDP socket, as its home sees it."""

    def bound(self, sock: ListeningSocket) -> None:
        """Here is the socket that was asked for."""

    def failed(self, error: OSError) -> None:
        """There is none."""

    def take(self, fd: int, family: int) -> None:
        """A connection is this server's now, and the descriptor with it."""

    def has_room(self) -> bool:
        """Whether it can take one more connection."""

    def passable_fd(self) -> int | None:
        """Return the descriptor of its socket, ``None`` when this process has none."""

    def close(self, callback: Callable[..., Any] | None = None) -> object:
        """Take no more and end when the last connection has."""


class Home:
    """Where servers live; the base of the three."""

    def __init__(self) -> None:
        self.open: set[Sharer] = set()

    def opened(self, server: Sharer) -> None:
        """A server listens, or will: it keeps this process alive."""
        self.open.add(server)

    def closed(self, server: Sharer) -> None:
        """A server is closed."""
        self.open.discard(server)

    def bind(self, server: Sharer, request: ListenRequest, exclusive: bool) -> None:
        """Get a socket for a server; :meth:`Sharer.bound` or :meth:`Sharer.failed` follows."""
        raise NotImplementedError

    def room_made(self) -> None:
        """A connection has ended."""

    def uncaught(self, error: BaseException) -> None:
        """Nobody listens for this error: the program ends as after an uncaught exception."""
        raise NotImplementedError

    def spawn(self, call: Callable[..., Any], *args: object) -> None:
        """Run ``call`` in a greenlet; an exception is reported and harms nothing else."""
        gevent.spawn(call, *args)

    def bind_own(self, server: Sharer, request: ListenRequest, syscall: str = "listen") -> None:
        """Bind in this process, and accept here."""
        try:
            bound = bind(request, syscall=syscall)
        except ListenError as error:
            server.failed(error)
        else:
            self.adopt(server, bound)

    def adopt(self, server: Sharer, bound: BoundSocket) -> None:
        """Let a server have a socket that exists already."""
        server.bound(OwnSocket(bound, server))


class OwnHome(Home):
    """A process that binds for itself."""

    def bind(self, server: Sharer, request: ListenRequest, exclusive: bool) -> None:
        """See :class:`Home`."""
        self.bind_own(server, request, "bind" if request.is_udp else "listen")


class PlainHome(OwnHome):
    """A program that no cluster started: it lives on after its last line while a server listens, as in Node."""

    def __init__(self) -> None:
        super().__init__()
        self._failed = False
        self._waiting = False
        self._changed = Event()

    def opened(self, server: Sharer) -> None:
        """See :class:`Home`."""
        super().opened(server)
        if not self._waiting:
            self._waiting = True
            atexit.register(self._serve)

    def uncaught(self, error: BaseException) -> None:
        """See :class:`Home`."""
        sys.excepthook(type(error), error, error.__traceback__)
        self._failed = True
        self._changed.set()

    def closed(self, server: Sharer) -> None:
        """See :class:`Home`."""
        super().closed(server)
        self._changed.set()

    def _serve(self) -> None:
        """At the end of the program: until the last server is closed."""
        while self.open and not self._failed:
            self._changed.wait()
            self._changed.clear()
        if self._failed:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)


class _Current:
    home: Home | None = None


def set_home(home: Home | None) -> None:
    """This process is of another kind from now on."""
    _Current.home = home


def current_home() -> Home:
    """Return the home of servers in this process."""
    if _Current.home is None:
        _Current.home = PlainHome()
    return _Current.home
