"""Check what a server sets on each of its connections, and set it: the options of ``net.create_server()``."""

from __future__ import annotations

import socket as sockets
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from ...base.arguments import checked_options, checked_seconds
from ...errors import ArgumentTypeError

__all__ = ["CREATE_SERVER_OPTIONS", "ConnectionOptions"]

CREATE_SERVER_OPTIONS: Final = {
    "allowHalfOpen": "allow_half_open",
    "pauseOnConnect": "pause_on_connect",
    "noDelay": "no_delay",
    "keepAlive": "keep_alive",
    "keepAliveInitialDelay": "keep_alive_initial_delay",
    "highWaterMark": "high_water_mark",
}
_MILLISECONDS: Final = 1000
_MOST_IDLE_SECONDS: Final = 32767  # Linux takes no more
_INTERNET: Final = (sockets.AF_INET, sockets.AF_INET6)


class ConnectionOptions(Struct, frozen=True):
    """The options that are set on each connection.

    Attributes:
        no_delay: send small pieces at once.
        keep_alive: let the kernel find out whether an idle peer is there.
        keep_alive_initial_delay: seconds of silence before it asks; ``None``: as the system has it.
    """

    no_delay: bool = False
    keep_alive: bool = False
    keep_alive_initial_delay: int | None = None

    @classmethod
    def of(cls, options: object) -> ConnectionOptions:
        """Check options as Node has them.

        ``allowHalfOpen``, ``pauseOnConnect`` and ``highWaterMark`` are taken and mean nothing: a socket of Python's is
        read when its handler reads it, and is open in each direction until that one is closed.

        Raises:
            ArgumentError: there is no such option, or one that is no such value.
        """
        if options is None:
            return cls()
        if not isinstance(options, Mapping):
            raise ArgumentTypeError(f"expected a mapping of options, or the handler of connections, got {options!r}")
        given = checked_options(options, CREATE_SERVER_OPTIONS, "create_server()")
        delay = given.get("keep_alive_initial_delay")
        seconds = None if delay is None else min(round(checked_seconds(delay) / _MILLISECONDS), _MOST_IDLE_SECONDS)
        return cls(bool(given.get("no_delay")), bool(given.get("keep_alive")), seconds or None)

    def apply(self, client: Any) -> None:  # noqa: ANN401 - a socket of any module
        """Set them on a connection."""
        if client.family not in _INTERNET:
            return
        if self.no_delay:
            client.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
        if self.keep_alive:
            client.setsockopt(sockets.SOL_SOCKET, sockets.SO_KEEPALIVE, 1)
            if self.keep_alive_initial_delay is not None:
                client.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_KEEPIDLE, self.keep_alive_initial_delay)
