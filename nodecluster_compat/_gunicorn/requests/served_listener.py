"""Stand in for a listening socket that only the primary has, and tell its address.

gunicorn's handlers ask a listener for ``getsockname()``, once for each connection; here the answer costs no system
call.  It must be exactly what the kernel says: SERVER_NAME and SERVER_PORT come from it.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Protocol

from ...base.records import Address, ServedAddress, SocketName

if TYPE_CHECKING:
    from ..gunicorn_types import Settings

__all__ = ["AnyListener", "ServedListener", "address_of"]


class AnyListener(Protocol):
    """gunicorn's socket object, or what stands in for it."""

    def getsockname(self) -> SocketName:
        """Return what the socket is bound to."""


class ServedListener:
    """Stands in for gunicorn's socket object, in hooks as well; the descriptor is the primary's alone."""

    def __init__(self, served: ServedAddress, conf: Settings) -> None:
        self.family = self.FAMILY = served.family
        self.number = served.listener_id
        self.conf = conf
        self._name = served.name

    @property
    def sock(self) -> ServedListener:
        """What has the address, where gunicorn's object holds the socket itself."""
        return self

    @property
    def cfg_addr(self) -> str | tuple[str, int]:
        """The address as ``bind`` may say it: a host and a port, or a path."""
        name = self._name
        return (name[0], name[1]) if isinstance(name, tuple) else os.fsdecode(name)

    def getsockname(self) -> SocketName:
        """Return the address that the primary's socket is bound to."""
        return self._name

    def get_backlog(self) -> int:
        """Return -1, as gunicorn does where it cannot know how many connections wait in the kernel."""
        return -1

    def fileno(self) -> int:
        """Return -1: there is no descriptor here."""
        return -1

    def close(self) -> None:
        """Do nothing: there is nothing to close here."""

    def __str__(self) -> str:
        if not isinstance(self._name, tuple):
            return f"unix:{self.cfg_addr}"
        host = f"[{self._name[0]}]" if self.family == socket.AF_INET6 else self._name[0]
        return f"{'https' if self.conf.is_ssl else 'http'}://{host}:{self._name[1]}"


def address_of(listener: AnyListener) -> Address:
    """Return the ``listening`` event's address of a listener, ours or a real socket."""
    name = listener.getsockname()
    if isinstance(name, tuple):
        kind = getattr(listener, "family", None) or getattr(listener, "FAMILY", socket.AF_INET)
        return Address(name[0], name[1], 6 if kind == socket.AF_INET6 else 4)
    path = os.fsdecode(name)
    return Address(path if path.startswith("\0") else os.path.abspath(path), -1, -1)
