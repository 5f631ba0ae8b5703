"""Run servers in a worker of script mode: the primary binds, shares and deals."""

from __future__ import annotations

import _socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from ...base.records import Address, ListenAnswer, ListenRequest, SocketName
from ...connections.receiver import Receiver
from ...errors import ListenError
from ...machine.binding import BoundSocket
from ...roles.this_worker import ClusterWorker
from .local_socket import LocalSocket
from .server_socket import OpenServer
from .servers_in_process import ServersInProcess

if TYPE_CHECKING:
    from ...base.records import SharingKey

__all__ = ["ServersInWorker"]


class _DealtSocket(Struct):
    """A socket that the primary accepts on for this worker's server."""

    servers: ServersInWorker
    listener_id: int
    family: int
    name: SocketName
    key: SharingKey
    fd: int | None = None

    def announce(self, address: Address) -> None:
        self.servers.announce(self.listener_id, address)

    def close(self) -> None:
        self.servers.leave(self.listener_id, self.key)


class ServersInWorker(ServersInProcess):
    """Servers of a worker.

    Args:
        member: this worker.
        sock: its end of the connection channel.
        on_primary_gone: called when the primary has closed that channel.
        on_uncaught: ends this process, as an uncaught exception does.
    """

    def __init__(
        self,
        member: ClusterWorker,
        sock: _socket.socket,
        on_primary_gone: Callable[[], None],
        on_uncaught: Callable[[BaseException], None],
    ) -> None:
        super().__init__()
        self._member = member
        self._on_uncaught = on_uncaught
        self._is_exiting = False
        self._dealt: dict[int, tuple[OpenServer, int]] = {}
        self._ordinals: dict[SharingKey, list[int]] = {}  # [open now, next ordinal]
        self.receiver = Receiver(sock, self._take, self._has_room, lambda: None, on_primary_gone)

    @property
    def is_ending(self) -> bool:
        """See :class:`ServersInProcess`; a worker that has lost its channel and was not asked to leave ends, too."""
        member = self._member
        return self._is_exiting or not (member.is_connected() or member.exited_after_disconnect)

    def exiting(self) -> None:
        """This process ends as soon as it can."""
        self._is_exiting = True

    def bind(self, server: OpenServer, request: ListenRequest, exclusive: bool) -> None:
        """See :class:`ServersInProcess`."""
        if exclusive or request.reuse_port:
            self.bind_own(server, request, "bind" if request.is_udp else "listen")
            return
        numbered = replace(request, ordinal=self._count(request.key))
        self._member.ask(numbered, partial(self._answered, server, numbered, request.key))

    def room_made(self) -> None:
        """See :class:`ServersInProcess`."""
        self.receiver.room_made()

    def uncaught(self, error: BaseException) -> None:
        """See :class:`ServersInProcess`."""
        self._on_uncaught(error)

    def announce(self, listener_id: int, address: Address) -> None:
        """A server of this worker listens."""
        if self._member.is_connected():
            self._member.announce_listening(listener_id, address)

    def leave(self, listener_id: int, key: SharingKey) -> None:
        """A server of this worker is closed."""
        self._dealt.pop(listener_id, None)
        self.receiver.forget(listener_id)
        self._member.announce_closed(listener_id)
        self._discount(key)

    def _count(self, key: SharingKey) -> int:
        counts = self._ordinals.setdefault(key, [0, 0])
        counts[0] += 1
        counts[1] += 1
        return counts[1] - 1

    def _discount(self, key: SharingKey) -> None:
        counts = self._ordinals.get(key)
        if counts is not None:
            counts[0] -= 1
            if not counts[0]:
                del self._ordinals[key]

    def _answered(
        self, server: OpenServer, request: ListenRequest, key: SharingKey, answer: ListenAnswer, fd: int | None
    ) -> None:
        port = None if request.port < 0 else request.port
        if answer.errno:
            self._discount(key)
            server.failed(ListenError(answer.errno, "bind", request.address, port))
        elif fd is None:
            self._dealt[answer.listener_id] = (server, answer.family)
            server.bound(_DealtSocket(self, answer.listener_id, answer.family, answer.name, key))
        else:
            self._shared(server, request, key, answer, fd)

    def _shared(
        self, server: OpenServer, request: ListenRequest, key: SharingKey, answer: ListenAnswer, fd: int
    ) -> None:
        sock = _socket.socket(fileno=fd)
        sock.setblocking(False)
        try:
            if not request.is_udp:
                sock.listen(request.backlog)
        except OSError as error:
            sock.close()
            self.leave(answer.listener_id, key)
            server.failed(ListenError(error.errno or 0, "listen", request.address, request.port))
            return
        announce = partial(self.announce, answer.listener_id)
        server.bound(LocalSocket(BoundSocket(sock), server, announce, partial(self.leave, answer.listener_id, key)))

    def _has_room(self, listener_id: int) -> bool:
        entry = self._dealt.get(listener_id)
        return entry is not None and entry[0].has_room()

    def _take(self, listener_id: int, fd: int, memory: int) -> None:
        if memory >= 0:  # no worker of a script routes anything
            _socket.close(memory)
            _socket.close(fd)
            return
        server, family = self._dealt[listener_id]
        server.take(fd, family)
