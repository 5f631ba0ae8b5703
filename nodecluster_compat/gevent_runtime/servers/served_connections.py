"""Serve the connections of one server, each in a greenlet of its own, until its handler returns."""

from __future__ import annotations

import _socket
import logging
import socket as sockets
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent

from ...base.records import PeerAddress
from ...machine.forked_child import end_if_child
from ..at_once import run_at_once
from ..client_socket import ClientSocket, cut_connections
from .connection_options import ConnectionOptions

__all__ = ["ServedConnections"]

_log = logging.getLogger("nodecluster_compat")


class ServedConnections:
    """The connections that a server has.

    Args:
        options: set on each.
    """

    def __init__(self, options: ConnectionOptions) -> None:
        self._options = options
        self._sockets: dict[Any, Any] = {}  # by greenlet, None before they are made

    def __len__(self) -> int:
        """Return how many are open."""
        return len(self._sockets)

    def begin(
        self, fd: int, family: int, serve: Callable[[ClientSocket, PeerAddress], None], ended: Callable[[], None]
    ) -> None:
        """Serve a connection, from now on.

        Args:
            fd: the connection's descriptor, which is its own from here on.
            family: of its addresses.
            serve: called in its greenlet; the connection is closed when that returns.
            ended: called then.
        """
        greenlet = gevent.Greenlet(self._serve, fd, family, serve, ended)
        self._sockets[greenlet] = None
        run_at_once(greenlet)
        if self._is_waiting(greenlet):
            greenlet.link(partial(self._never_began, fd, ended))

    def _is_waiting(self, greenlet: Any) -> bool:  # noqa: ANN401 - gevent has no type hints here
        """Whether it has not begun: outside of the hub it does so on a later turn."""
        return self._sockets.get(greenlet, greenlet) is None

    def _never_began(self, fd: int, ended: Callable[[], None], greenlet: Any) -> None:  # noqa: ANN401 - as above
        """Cut before that, it could not close what it was given."""
        if self._is_waiting(greenlet):
            _socket.close(fd)
            del self._sockets[greenlet]
            ended()

    def here(self) -> Any:  # noqa: ANN401 - a socket of gevent's
        """Return the connection that this greenlet serves; ``None``: it serves none."""
        return self._sockets.get(gevent.getcurrent())

    def others(self) -> list[int]:
        """Return the descriptors of all but the one that this greenlet serves."""
        here = gevent.getcurrent()
        return [
            client.fileno() for greenlet, client in self._sockets.items() if client is not None and greenlet != here
        ]

    def cut(self) -> int:
        """End all of them, whatever they are at; return how many they were."""
        clients = dict(self._sockets)
        cut_connections(clients)
        return len(clients)

    def _serve(
        self, fd: int, family: int, serve: Callable[[ClientSocket, PeerAddress], None], ended: Callable[[], None]
    ) -> None:
        client = None
        try:
            client = self._sockets[gevent.getcurrent()] = ClientSocket(family, sockets.SOCK_STREAM, 0, fileno=fd)
            peer = client.getpeername()
            self._options.apply(client)
            serve(client, peer)
            end_if_child()
        except OSError as error:
            end_if_child(error)
            _log.debug("A connection ended: %s", error)
        except Exception as error:  # noqa: BLE001 - one connection must not end the others
            end_if_child(error)
            _log.exception("The handler of a connection raised")
        finally:
            if client is not None:
                client.close()
            self._sockets.pop(gevent.getcurrent(), None)
            ended()
