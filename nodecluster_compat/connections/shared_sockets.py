"""Share the sockets that workers asked the primary to bind: script mode's ``listen()``.

The first worker that asks for an address makes the primary bind it; those that ask for the same one share it; when
the last of them has left, it is closed, what waits in its queue is reset, and a path is removed.

Under round robin the primary accepts and the socket is a ``Listener`` as in server
mode.  Under ``SCHED_NONE``, and always for UDP, each worker gets the descriptor and the kernel chooses.

They are at most half of the descriptors that this process may have, so no worker can leave the primary without one for
a connection or for another worker.
"""

from __future__ import annotations

import _socket
import errno
import resource
from collections.abc import Callable
from typing import Final

from msgspec import Struct, field

from ..base.records import ListenAnswer, ListenRequest, SharingKey
from ..errors import ListenError
from ..machine.binding import BoundSocket, bind
from .dealer import Dealer

__all__ = ["SharedAnswer", "SharedSockets"]

_SHARE: Final = 2
_DATAGRAMS: Final = ("udp4", "udp6")


class SharedAnswer(Struct, frozen=True):
    """The answer to the worker; ``fd`` goes along if it is to accept or receive by itself."""

    answer: ListenAnswer
    fd: int | None = None


class _Shared(Struct):
    key: SharingKey
    bound: BoundSocket
    listener_id: int
    dealt: bool
    members: set[int] = field(default_factory=set)


class SharedSockets:
    """The sockets by what was asked for.

    Args:
        dealer: accepts on those that the primary deals.
        is_dealing: whether the primary deals connections; asked once a socket is made.
    """

    def __init__(self, dealer: Dealer, is_dealing: Callable[[], bool]) -> None:
        self._dealer = dealer
        self._is_dealing = is_dealing
        self._by_key: dict[SharingKey, _Shared] = {}
        self._by_id: dict[int, _Shared] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    @property
    def sockets(self) -> list[_socket.socket]:
        """Those that connections come from."""
        return [shared.bound.sock for shared in self._by_id.values() if shared.key.address_type not in _DATAGRAMS]

    def query(self, worker_id: int, request_id: int, request: ListenRequest) -> SharedAnswer:
        """Let a worker in on the socket that it asks for."""
        shared = self._by_key.get(request.key)
        if shared is not None and worker_id in shared.members:
            # The same worker, the same fixed address: what the system would say.
            return _refusal(request_id, errno.EADDRINUSE if request.fd is None else errno.EEXIST)
        if shared is None:
            try:
                shared = self._make(request)
            except ListenError as error:
                return _refusal(request_id, error.errno or errno.EINVAL)
        shared.members.add(worker_id)
        sock = shared.bound.sock
        answer = ListenAnswer(request_id, 0, shared.listener_id, sock.family, sock.getsockname())
        return SharedAnswer(answer, None if shared.dealt else sock.fileno())

    def leave(self, worker_id: int, listener_id: int) -> None:
        """A worker has closed its server; a socket that is not shared is ignored."""
        shared = self._by_id.get(listener_id)
        if shared is not None and worker_id in shared.members:
            self._remove(shared, worker_id)

    def lost(self, worker_id: int) -> None:
        """A worker is gone, or was told to go."""
        for shared in list(self._by_id.values()):
            if worker_id in shared.members:
                self._remove(shared, worker_id)

    def close(self) -> None:
        """Close every socket: the primary ends."""
        for shared in list(self._by_id.values()):
            self._drop(shared)

    def abandon(self) -> None:
        """In a forked child: close the inherited copies and nothing more."""
        for shared in self._by_id.values():
            shared.bound.sock.close()

    def _make(self, request: ListenRequest) -> _Shared:
        if len(self) >= resource.getrlimit(resource.RLIMIT_NOFILE)[0] // _SHARE:
            raise ListenError(errno.EMFILE, "bind", request.address, None if request.port < 0 else request.port)
        dealt = not request.is_udp and self._is_dealing()
        bound = bind(request, listen=dealt)
        dealer = self._dealer
        listener_id = dealer.add(bound.sock, bound.sock.family).listener_id if dealt else dealer.next_id()
        shared = _Shared(request.key, bound, listener_id, dealt)
        self._by_key[request.key] = shared
        self._by_id[listener_id] = shared
        return shared

    def _remove(self, shared: _Shared, worker_id: int) -> None:
        shared.members.discard(worker_id)
        if not shared.members:
            self._drop(shared)

    def _drop(self, shared: _Shared) -> None:
        if shared.dealt:
            self._dealer.remove(shared.listener_id)
        shared.bound.close()
        del self._by_key[shared.key], self._by_id[shared.listener_id]


def _refusal(request_id: int, number: int) -> SharedAnswer:
    return SharedAnswer(ListenAnswer(request_id, number))
