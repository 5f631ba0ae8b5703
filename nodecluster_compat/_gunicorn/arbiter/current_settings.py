"""Read the primary's own settings out of ``cluster.settings``, once for each change of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...roles.cluster import cluster
from ...roles.settings import SupervisionSettings

__all__ = ["settings_in_force"]


class _ThisProcess:
    read_from: Mapping[str, Any] | None = None
    changes = 0
    settings: SupervisionSettings


def settings_in_force() -> SupervisionSettings:
    """Return what ``cluster.settings`` say now; read again when they were replaced or changed."""
    now = cluster.settings
    if _ThisProcess.read_from is not now or _ThisProcess.changes != now.changes:
        _ThisProcess.settings = SupervisionSettings.of(now)
        _ThisProcess.read_from, _ThisProcess.changes = now, now.changes
    return _ThisProcess.settings
