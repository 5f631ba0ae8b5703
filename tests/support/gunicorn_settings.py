"""Settings that came with a later gunicorn than the oldest one: without them there is one parser, and no HTTP/2."""

from __future__ import annotations

from typing import Any

import gunicorn
from gunicorn.config import KNOWN_SETTINGS

_NAMES = {setting.name for setting in KNOWN_SETTINGS}


def known(settings: dict[str, Any]) -> dict[str, Any]:
    """Return those that the installed gunicorn has.

    The parser in C of 25.2 and 25.3 trusts any peer, and is not used here: the stock worker is compared without it.
    """
    if (25, 2) <= gunicorn.version_info < (26,):
        settings = {**settings, "http_parser": "python"}
    return {name: value for name, value in settings.items() if name in _NAMES}
