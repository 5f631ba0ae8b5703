"""The serializations by name: the values of the setting ``serialization``."""

from __future__ import annotations

from typing import Final

from ..errors import SettingsError
from ..messages.advanced import Advanced
from ..messages.serialization import JSON, Serializer

__all__ = ["ADVANCED", "serializer_named"]

ADVANCED: Final[Serializer] = Advanced()


def serializer_named(name: object) -> Serializer:
    """Return the serializer of a ``serialization`` setting; ``None`` means ``json``.

    Raises:
        SettingsError: there is none of that name.
    """
    if name in (None, False, "json"):
        return JSON
    if name == "advanced":
        return ADVANCED
    raise SettingsError(f"expected 'json' or 'advanced' as serialization, got {name!r}")
