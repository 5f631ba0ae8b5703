"""Own a socket that this process was asked for: the life that servers of connections and UDP sockets share.

A socket is asked of the process (:meth:`ServerBase._open`), comes or fails on a later turn, is told, and is closed.
Events and callbacks run in a greenlet of their own, never in the caller's, as in Node.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...base.emitter import Emitter
from ...base.records import Address, ListenRequest, SocketName
from ...machine.binding import BoundSocket
from .server_socket import ServerSocket
from .servers_in_process import servers_here
from .states import ServerLife

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ServerBase"]


class ServerBase(Emitter):
    """The parts of a server that do not depend on what it does with its socket.

    Attributes:
        holds: whether it keeps its process alive while it is open; see :meth:`unref`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.holds = True
        self._life = ServerLife()
        self._process = servers_here()
        self._request: ListenRequest | None = None
        self._socket: ServerSocket | None = None

    def ref(self) -> Self:
        """Keep the process alive while this one is open, as servers and sockets do unless told otherwise."""
        return self._hold(True)

    def unref(self) -> Self:
        """Let the process end although this one is open: a worker when its channel is closed or let go of, too."""
        return self._hold(False)

    def adopt(self, bound: BoundSocket) -> None:
        """Use a socket that is bound already."""
        self._open()
        self._process.adopt(self, bound)

    # --- what its process tells and asks; see server_socket.OpenServer -------------------------------

    def bound(self, sock: ServerSocket) -> None:
        """Here is the socket that was asked for."""
        if self._life.advance("bound") == "closed":
            sock.close()
            self._process.closed(self)
            return
        self._socket = sock
        self._begin_use(sock)
        self._process.spawn(self._announce, sock)

    def failed(self, error: OSError) -> None:
        """There is none."""
        was = self._life.state
        self._life.advance("failed")
        self._give_up_use()
        self._process.closed(self)
        if was == "starting":
            self._report(error)

    def take(self, fd: int, family: int) -> None:
        """A connection is this server's now, and the descriptor with it."""
        raise NotImplementedError

    def has_room(self) -> bool:
        """Whether it can take one more connection."""
        raise NotImplementedError

    def close(self, callback: Callable[..., Any] | None = None) -> Self:
        """Take no more; ``close`` follows."""
        raise NotImplementedError

    def passable_fd(self) -> int | None:
        """See :class:`~nodecluster_compat.messages.passing.Passable`."""
        return None if self._socket is None else self._socket.fd

    # --- for those that build on it ------------------------------------------------------------------

    def _begin_use(self, sock: ServerSocket) -> None:
        """The socket has come."""

    def _give_up_use(self) -> None:
        """It will not come."""

    def _address(self, request: ListenRequest, name: SocketName) -> Address:
        """Return what the primary is told that it listens on."""
        raise NotImplementedError

    def _open(self) -> None:
        """It will have a socket: the process knows of it from here on."""
        self._process = servers_here()
        self._life.advance("listen")
        self._process.opened(self)

    def _stop(self) -> None:
        """Let go of the socket."""
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()

    def _hold(self, holds: bool) -> Self:
        self.holds = holds
        self._process.holding_changed(self)
        return self

    def _announce(self, sock: ServerSocket) -> None:
        if self._socket is not sock:
            return  # closed meanwhile: as in Node, it never comes
        self.emit("listening")
        if self._socket is sock and self._request is not None:
            sock.announce(self._address(self._request, sock.name))

    def _report(self, error: OSError) -> None:
        if self.listener_count("error"):
            self._process.spawn(self.emit, "error", error)
        else:
            self._process.uncaught(error)

    def _tell_closed(self) -> None:
        self.emit("close")
        if self._life.state == "closed":  # a listener may have opened it again
            self._process.closed(self)
