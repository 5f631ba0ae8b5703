"""Read the dealing policy and the routing keys from the settings, or else from the environment."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ...base.variables import POLICY, ROUTING
from ...connections.policies import ClientAddress, policy_of
from ...errors import SettingsError
from ...routing.proxy_header import proxied_address
from ...routing.setting import keys_of
from .current_settings import settings_in_force

if TYPE_CHECKING:
    from ...connections.policies import PolicyFactory
    from ...routing.keys import Key
    from ..gunicorn_types import ListeningSocket, Settings

__all__ = ["check_dealing", "client_of", "policy_in_force", "routing_in_force"]


class _ThisProcess:
    read_from: object = None
    policy: PolicyFactory
    keys: tuple[Key, ...] | None


def policy_in_force() -> PolicyFactory:
    """Return what makes the policies: of the last settings that could be read; the same object until they change.

    Raises:
        SettingsError: there is no such policy, and never was one.
    """
    _follow()
    return _ThisProcess.policy


def routing_in_force() -> tuple[Key, ...] | None:
    """Return the keys, likewise; ``None``: those of Socket.IO, where the application uses it.

    Raises:
        SettingsError: there are no such keys, and never were any.
    """
    _follow()
    return _ThisProcess.keys


def check_dealing() -> None:
    """Read both.

    Raises:
        SettingsError: what is said is no policy, or no keys; what was in force still is.
    """
    settings = settings_in_force()
    if _ThisProcess.read_from is not settings:
        policy = settings.policy or policy_of(os.environ.get(POLICY) or None)
        keys = keys_of(os.environ.get(ROUTING)) if settings.routing is None else settings.routing
        _ThisProcess.policy, _ThisProcess.keys, _ThisProcess.read_from = policy, keys, settings


def client_of(
    policy: PolicyFactory, cfg: Settings, listeners: Iterable[ListeningSocket]
) -> Callable[[bytes], str | None] | None:
    """Return what finds the client's address in what has come of a connection; ``None``: that of the connection counts.

    With the PROXY protocol the kernel gives a connection of TCP only when its header has come, which a proxy sends at
    once.  On a unix socket what is late is dealt round robin.
    """
    if not isinstance(policy, ClientAddress) or getattr(cfg, "proxy_protocol", False) in (False, "off"):
        return None
    for listener in listeners:
        if listener.FAMILY != socket.AF_UNIX:
            listener.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)
    return proxied_address


def _follow() -> None:
    try:
        check_dealing()
    except SettingsError:
        if _ThisProcess.read_from is None:
            raise
