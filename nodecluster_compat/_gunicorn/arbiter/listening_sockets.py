"""Open and close gunicorn's listening sockets: a reload opens those of a changed ``bind``, a stop closes all.

What a reload finds unchanged it keeps: no connection is lost between two sockets of one address.
"""

from __future__ import annotations

import socket
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Protocol

from gunicorn import sock as gunicorn_sock
from gunicorn import util

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...base.records import ServedAddress
    from ..gunicorn_types import ListeningSocket, Settings
    from .seat import Seat

__all__ = ["BindingSeat", "close_socket", "drop_listeners", "is_given", "replace_listeners"]


if TYPE_CHECKING:

    class BindingSeat(Seat, Protocol):
        """The arbiter, which can bind other addresses."""

        def serve_listeners(self, known: Mapping[int, ServedAddress | None] | None = None) -> None:
            """Accept on the listeners for the workers, unless they accept for themselves."""


def is_given(listener: ListeningSocket, cfg: Settings) -> bool:
    """Whether a listening socket was passed as ``fd://``: whoever passed it may go on with it."""
    return listener.cfg_addr not in cfg.address and any(isinstance(address, int) for address in cfg.address)


def close_socket(listener: ListeningSocket, cfg: Settings, *, unlink: bool) -> None:
    """Close a listening socket by gunicorn's ``close_sockets``.

    Args:
        listener: gunicorn's.
        cfg: the configuration that it is of.
        unlink: also remove the path of a unix socket.  gunicorn would do so for an abstract one, too, and fail, since
            its name begins with NUL and is no path; and for one that it was given, whose owner could then start it
            again in vain.
    """
    is_own_path = not str(listener.cfg_addr).startswith("\0") and not is_given(listener, cfg)
    gunicorn_sock.close_sockets([listener], unlink and is_own_path)


def replace_listeners(
    arbiter: BindingSeat, former: list[ListeningSocket], served: list[ServedAddress], old_address: list[Any]
) -> None:
    """Open what is new, keep what stays, and leave what goes to the former workers.

    Args:
        arbiter: has the new configuration.
        former: the sockets until now.
        served: how the primary serves these; empty where workers accept for themselves.
        old_address: what they are bound to, in the same order, as gunicorn has it.
    """
    kept = dict(zip(old_address, former, strict=False))
    # In place before it is complete: when one cannot be had, restoring closes those that are not former ones.
    arbiter.LISTENERS = listeners = []
    for address in arbiter.cfg.address:
        if address in kept:
            listeners.append(kept[address])
        else:
            _check_free(address)
            listeners += gunicorn_sock.create_sockets(_OneAddress(arbiter.cfg, address), arbiter.log)
    arbiter.serve_listeners(dict(zip_longest(map(id, former), served)))
    arbiter.log.info("Listening at: %s", ",".join(str(listener) for listener in listeners))


def drop_listeners(arbiter: BindingSeat, kept: list[ListeningSocket], served: list[ServedAddress]) -> None:
    """Close the listeners that are not among ``kept``, and serve none but ``served``."""
    for one in arbiter.served:
        if one not in served:
            arbiter.primary.dealer.remove(one.listener_id)
    for listener in arbiter.LISTENERS:
        if listener not in kept:
            close_socket(listener, arbiter.cfg, unlink=True)


def _check_free(address: object) -> None:
    """Find out without the five seconds that gunicorn sleeps for an address that somebody else has.

    Raises:
        OSError: it cannot be bound.
    """
    if isinstance(address, tuple):
        family = socket.AF_INET6 if util.is_ipv6(address[0]) else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)


class _OneAddress:
    """A configuration that has one address."""

    def __init__(self, cfg: Settings, address: object) -> None:
        self._cfg = cfg
        self.address = [address]

    def __getattr__(self, name: str) -> object:
        return getattr(self._cfg, name)
