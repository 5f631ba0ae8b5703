"""Accept in this process, for one server: exclusive ones, ``SCHED_NONE``, primaries, plain programs."""

from __future__ import annotations

import errno
import os
from _socket import SOCK_STREAM
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from gevent import get_hub

if TYPE_CHECKING:
    from ...base.records import Address, SocketName
    from ...machine.binding import BoundSocket
    from .server_socket import OpenServer

__all__ = ["LocalSocket"]

_PAUSE_SECONDS: Final = 0.1
_ACCEPTS_PER_TURN: Final = 16
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class LocalSocket:
    """Accepts for one server.

    Args:
        bound: the socket; it belongs to this object from now on.
        server: takes the connections.
        on_announce: told when the server listens; with the primary's number it tells the primary.
        on_close: told when it is closed.
    """

    def __init__(
        self,
        bound: BoundSocket,
        server: OpenServer,
        on_announce: Callable[[Address], None] | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self._bound = bound
        self._server = server
        self._on_announce = on_announce
        self._on_close = on_close
        self.name: SocketName = bound.sock.getsockname()
        self.family: int = bound.sock.family
        self._pause: Any = None
        self._watcher: Any = None
        if bound.sock.type == SOCK_STREAM:
            self._watcher = get_hub().loop.io(bound.sock.fileno(), 1, ref=False)
            self._watcher.start(self._readable)

    @property
    def fd(self) -> int | None:
        """The descriptor; ``None`` once closed."""
        fd = self._bound.sock.fileno()
        return None if fd < 0 else fd

    def announce(self, address: Address) -> None:
        """The server has told its own listeners."""
        if self._on_announce is not None:
            self._on_announce(address)

    def close(self) -> None:
        """Accept no more."""
        for watcher in (self._watcher, self._pause):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self._watcher = self._pause = None
        self._bound.close()
        if self._on_close is not None:
            self._on_close()

    def _readable(self) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            if self._watcher is None or not self._accept_one():
                return

    def _accept_one(self) -> bool:
        try:
            fd, _ = self._bound.sock._accept()  # type: ignore[attr-defined]  # the descriptor alone
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _EXHAUSTED:
                self._rest()
            return False
        os.set_inheritable(fd, False)
        self._server.take(fd, self.family)
        return True

    def _rest(self) -> None:
        """No descriptors are left: clients wait in the backlog for a moment."""
        self._watcher.stop()
        self._pause = get_hub().loop.timer(_PAUSE_SECONDS, ref=False)
        self._pause.start(self._go_on)

    def _go_on(self) -> None:
        self._pause.close()
        self._pause = None
        self._watcher.start(self._readable)
