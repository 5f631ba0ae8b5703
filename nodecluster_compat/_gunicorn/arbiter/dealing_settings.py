"""Say by which policy connections are dealt and by which keys they are routed: the settings, else the environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from ...connections.policies import policy_of
from ...routing.setting import keys_of
from .current_settings import settings_in_force

if TYPE_CHECKING:
    from ...connections.policies import PolicyFactory
    from ...routing.keys import Key

__all__ = ["POLICY_VARIABLE", "ROUTING_VARIABLE", "policy_in_force", "routing_in_force"]

POLICY_VARIABLE: Final = "NODECLUSTER_POLICY"
ROUTING_VARIABLE: Final = "NODECLUSTER_ROUTING"


class _ThisProcess:
    read_from: object = None
    policy: PolicyFactory
    keys: tuple[Key, ...] | None


def policy_in_force() -> PolicyFactory:
    """Return what makes the policies; the same object until a setting changes.

    Raises:
        SettingsError: there is no such policy.
    """
    _read()
    return _ThisProcess.policy


def routing_in_force() -> tuple[Key, ...] | None:
    """Return the keys; ``None``: those of Socket.IO, where the application uses it.

    Raises:
        SettingsError: there are no such keys.
    """
    _read()
    return _ThisProcess.keys


def _read() -> None:
    settings: Any = settings_in_force()
    if _ThisProcess.read_from is not settings:
        _ThisProcess.policy = settings.policy or policy_of(os.environ.get(POLICY_VARIABLE) or None)
        _ThisProcess.keys = keys_of(os.environ.get(ROUTING_VARIABLE)) if settings.routing is None else settings.routing
        _ThisProcess.read_from = settings
