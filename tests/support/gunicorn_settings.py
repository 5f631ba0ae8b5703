"""Settings that came with a later gunicorn than the oldest one: without them there is one parser, and no HTTP/2."""

from __future__ import annotations

from typing import Any

from gunicorn.config import KNOWN_SETTINGS

_NAMES = {setting.name for setting in KNOWN_SETTINGS}


def known(settings: dict[str, Any]) -> dict[str, Any]:
    """Return those that the installed gunicorn has."""
    return {name: value for name, value in settings.items() if name in _NAMES}
