"""Serve gunicorn's control socket in the arbiter's own loop.

Replaces gunicorn's server, which has a thread with an asyncio loop.  Its thread is joined before each fork and made
again after it: with a client that is connected and says nothing, Python 3.12 and later wait there until two seconds are
over (``asyncio.Server.wait_closed`` waits for its connections since then).  And every client is cut off, and the socket
is not there for a moment.  Without a thread none of it happens.
"""

from __future__ import annotations

import _socket
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from .control_client import ControlClient
from .control_commands import ControlCommands
from .seat import Seat

if TYPE_CHECKING:
    from ..gunicorn_types import Settings

__all__ = ["ControlServer", "start_control_server"]

_MOST_CLIENTS: Final = 64
_BACKLOG: Final = 100
_REST_SECONDS: Final = 1.0
_FOLDER_MODE: Final = 0o700


class _Settings(Protocol):
    control_socket_disable: bool
    control_socket_mode: int


class _Seat(Seat, Protocol):
    cfg: Settings

    def _get_control_socket_path(self) -> str:
        """Return the path; gunicorn's, from 25.1 on."""


def start_control_server(arbiter: _Seat) -> ControlServer | None:
    """Serve the control socket; return ``None`` when there is to be none, or it cannot be had."""
    settings: _Settings = arbiter.cfg  # type: ignore[assignment]  # from gunicorn 25.1 on
    if settings.control_socket_disable:
        arbiter.log.debug("Control socket disabled")
        return None
    server = ControlServer(arbiter, arbiter._get_control_socket_path(), settings.control_socket_mode)
    try:
        server.start()
    except OSError as error:
        arbiter.log.warning("Failed to start control socket: %s", error)
        return None
    return server


class ControlServer:
    """Accepts clients on one path.

    Args:
        arbiter: whom they ask.
        path: of the socket.
        mode: its permissions.
    """

    def __init__(self, arbiter: Seat, path: str, mode: int) -> None:
        self._arbiter = arbiter
        self._loop = arbiter.loop
        self._path = path
        self._mode = mode
        self._commands = ControlCommands(arbiter)
        self._clients: set[ControlClient] = set()
        self._sock: _socket.socket | None = None
        self._inode = 0

    def start(self) -> None:
        """Listen from now on.

        Raises:
            OSError: there can be no socket at that path.
        """
        folder = os.path.dirname(self._path)
        if folder:
            os.makedirs(folder, mode=_FOLDER_MODE, exist_ok=True)
        with suppress(FileNotFoundError):
            os.unlink(self._path)
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK)
        try:
            os.fchmod(sock.fileno(), self._mode)  # what is bound has at most these: never umask's alone
            sock.bind(self._path)
            os.chmod(self._path, self._mode)
            sock.listen(_BACKLOG)
            self._inode = os.stat(self._path).st_ino
        except OSError:
            sock.close()
            raise
        self._sock = sock
        self._loop.add_reader(sock.fileno(), self._accept)
        self._arbiter.log.info("Control socket listening at %s", self._path)

    def stop(self) -> None:
        """Listen no more; clients are sent away, and the path is removed if it is still this server's."""
        self._close()
        for client in list(self._clients):
            client.close()
        if self._is_ours():
            with suppress(OSError):
                os.unlink(self._path)

    def take_back(self) -> None:
        """Another server, a new master's, has used the path and is gone: listen there again."""
        if self._sock is None or self._is_ours():
            return
        self._close()
        try:
            self.start()
        except OSError as error:
            self._arbiter.log.warning("Failed to start control socket: %s", error)

    def abandon(self) -> None:
        """In a forked child: all this is the parent's."""
        if self._sock is not None:
            self._sock.close()
        for client in self._clients:
            client.abandon()
        self._commands.abandon()

    def _close(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            self._loop.remove_reader(sock.fileno())
            sock.close()

    def _is_ours(self) -> bool:
        try:
            facts = os.lstat(self._path)
        except OSError:
            return False
        return facts.st_ino == self._inode and stat.S_ISSOCK(facts.st_mode)

    # --- clients -------------------------------------------------------------------------------

    def _accept(self) -> None:
        assert self._sock is not None
        try:
            fd, _ = self._sock._accept()  # type: ignore[attr-defined]  # without a socket object of Python's
        except BlockingIOError:
            return
        except OSError:  # no descriptor is left
            self._loop.remove_reader(self._sock.fileno())
            self._loop.call_later(_REST_SECONDS, self._accept_again)
            return
        sock = _socket.socket(fileno=fd)
        if len(self._clients) >= _MOST_CLIENTS:
            sock.close()
            return
        self._clients.add(ControlClient(sock, self._loop, self._commands.carry_out, self._clients.discard))

    def _accept_again(self) -> None:
        if self._sock is not None:
            self._loop.add_reader(self._sock.fileno(), self._accept)
