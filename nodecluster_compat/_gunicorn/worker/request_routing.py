"""Route requests in a worker: by which keys, and how a connection gets to another worker, whatever the engine.

Keys are those of the setting ``routing``, and after them Socket.IO's if the application has imported Engine.IO, unless
nothing is to be routed.  ``docs/routing.md`` says what is not routed: HTTP/2, and what a worker has accepted by itself.
"""

from __future__ import annotations

import _socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from ...connections.handed import Handed, write_handed
from ...machine.said_once import Topic, is_first_to_say
from ...routing.engineio import EngineIO
from ...routing.relays import Relays
from ...routing.router import Router
from ...socketio import sid
from ..requests.passage import Passage

if TYPE_CHECKING:
    from ...base.log import Log
    from ...base.records import PeerAddress
    from ...routing.issued import IssuingKey
    from ...routing.keys import Key
    from ..gunicorn_types import Settings

__all__ = ["RequestRouting", "issuing_keys", "keys_in_force"]

_ENGINEIO: Final = "engineio"


def keys_in_force(keys: tuple[Key, ...] | None) -> tuple[Key, ...]:
    """Return the keys of this worker, now that the application is loaded.

    A session of Socket.IO is its worker's whatever else is routed.  Its key is the last one, because whoever begins a
    session may be anybody's for that, and a program's key may know better.

    Args:
        keys: of the setting; ``None``: it is up to the application.
    """
    if keys == () or _ENGINEIO not in sys.modules or not sid.is_wanted():
        return keys or ()
    if any(isinstance(key, EngineIO) for key in keys or ()):
        return keys or ()
    return (*(keys or ()), EngineIO())


def routes_here(cfg: Settings, keys: tuple[Key, ...] | None, log: Log) -> bool:
    """Return whether requests can be routed with these settings; say so where that is wanted, and cannot be."""
    wanted, hindrance = keys_in_force(keys), _hindrance(cfg)
    if hindrance is not None:
        if wanted and is_first_to_say(Topic.ROUTING):
            log.warning("Requests are not routed: %s", hindrance)
        return False
    if wanted and cfg.is_ssl and "h2" in str(getattr(cfg, "http_protocols", "")) and is_first_to_say(Topic.ROUTING):
        log.warning("Requests of HTTP/2 are served where they arrive; with routing, set http_protocols to h1")
    if cfg.max_requests and any(isinstance(key, EngineIO) for key in wanted) and is_first_to_say(Topic.MAX_REQUESTS):
        log.warning("max_requests is %s, and counts each poll of Socket.IO's long polling", cfg.max_requests)
    return True


def _hindrance(cfg: Settings) -> str | None:
    if getattr(cfg, "http2_cleartext", "off") != "off":
        return "http2_cleartext is on, and a connection of HTTP/2 is not handed on"
    if getattr(cfg, "protocol", "http") == "uwsgi":
        return "protocol is uwsgi, and keys find something in HTTP only"
    return None


def issuing_keys(keys: tuple[Key, ...] | None) -> list[IssuingKey]:
    """Return those that put something into answers."""
    return [key for key in keys or () if hasattr(key, "added")]  # type: ignore[misc]


class Onward(Protocol):
    """The way to the workers that other connections belong to."""

    def route(self, listener_id: int, target: int, fd: int, memory: int) -> bool:
        """Send a connection, and memory with what was read of it; return whether the primary has or gets them."""

    def ask_to_look(self) -> None:
        """Let the primary look at connections before it deals them."""


class RequestRouting:
    """Holds what the connections of a worker that routes have in common.

    Args:
        keys: none where it does not, and other workers hand on to it nevertheless, as those that leave after HUP.
        worker_id: of this worker.
        members: returns the workers that serve, by slot.
        onward: leads to the primary.
        cfg: gunicorn's settings.
        log: told of keys that fail.

    Attributes:
        relays: the connections that this worker relays to others.
    """

    def __init__(
        self,
        keys: tuple[Key, ...],
        worker_id: int,
        members: Callable[[], dict[int, int]],
        onward: Onward,
        cfg: Settings,
        log: Log,
    ) -> None:
        self._router = Router(keys, worker_id, members, log)
        self._onward = onward
        self.relays = Relays()
        self._has_proxy_header = getattr(cfg, "proxy_protocol", False) not in (False, "off")
        self._is_encrypted = bool(cfg.is_ssl)

    def begin(self) -> None:
        """Connections come soon; where they are not encrypted, the primary may look at them before."""
        if not self._is_encrypted:
            self._onward.ask_to_look()

    def passage(self, listener_id: int, peer: PeerAddress, handed: Handed | None) -> Passage:
        """Return what routes one connection.

        Args:
            listener_id: that it came by.
            peer: the client's address.
            handed: what came with it from another worker.
        """

        def send(target: int, fd: int, onward: Handed) -> bool:
            return self._send(listener_id, target, fd, onward)

        early = b"" if handed is None else handed.data
        return Passage(self._router, send, peer, early, self.relays, has_proxy_header=self._has_proxy_header)

    def _send(self, listener_id: int, target: int, fd: int, handed: Handed) -> bool:
        try:
            memory = write_handed(handed)
        except (OSError, ValueError):
            return False
        try:
            return self._onward.route(listener_id, target, fd, memory)
        finally:
            _socket.close(memory)
