"""Read the primary's own settings out of ``cluster.settings``, once for each change of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...roles.cluster import cluster
from ...roles.settings import SupervisionSettings

__all__ = ["settings_in_force"]


class _ThisProcess:
    read_from: Mapping[str, Any] | None = None
    settings: SupervisionSettings


def settings_in_force() -> SupervisionSettings:
    """Return what ``cluster.settings`` say now; each ``setup_primary()`` makes another mapping of them."""
    if _ThisProcess.read_from is not cluster.settings:
        _ThisProcess.settings = SupervisionSettings.of(cluster.settings)
        _ThisProcess.read_from = cluster.settings
    return _ThisProcess.settings
