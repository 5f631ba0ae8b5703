"""Warn, at start, of settings that another kind of worker would act on and this one ignores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from ...base.log import Log

if TYPE_CHECKING:
    from ..gunicorn_types import Settings

__all__ = ["ASGI_SETTINGS", "THREAD_SETTINGS", "warn_of_foreign_settings"]

THREAD_SETTINGS: Final = {"threads": "nodecluster_compat.ThreadWorker"}
ASGI_SETTINGS: Final = dict.fromkeys(
    ("asgi_loop", "asgi_lifespan", "asgi_disconnect_grace_period", "root_path"), "nodecluster_compat.ASGIWorker"
)


def warn_of_foreign_settings(cfg: Settings, log: Log, foreign: Mapping[str, str]) -> None:
    """Say which of the settings ``foreign`` somebody has given, and which kind of worker acts on each.

    Args:
        cfg: gunicorn's settings; an older gunicorn has not all of them.
        log: told, once for each.
        foreign: the kinds, by the names of settings.
    """
    for name, kind in foreign.items():
        setting = cfg.settings.get(name)
        if setting is not None and setting.get() != type(setting)().get():
            log.warning(
                "The setting %s = %r has no effect with this worker class: it is for %s", name, setting.get(), kind
            )
