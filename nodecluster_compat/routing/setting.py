"""Read the setting ``routing`` of ``cluster.setup_primary()``, and the variable ``NODECLUSTER_ROUTING``.  Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ..errors import SettingsError
from .engineio import EngineIO
from .keys import FunctionKey, Key

__all__ = ["keys_of"]


def _sticky_cookie() -> Key:
    from .issued import StickyCookie

    return StickyCookie()


def _mcp_session() -> Key:
    from .issued import IssuedField

    return IssuedField("Mcp-Session-Id")


_WORDS: Final[dict[str, Callable[[], Key]]] = {
    "socketio": EngineIO,
    "cookie": _sticky_cookie,
    "mcp": _mcp_session,
}
_OFF: Final = ("off", "none", "")


def keys_of(value: object) -> tuple[Key, ...] | None:
    """Return the keys that a setting names; ``None`` for ``"auto"``: Socket.IO, where the application uses it.

    Args:
        value: ``"auto"``, ``"off"``; ``"socketio"``, ``"cookie"``, ``"mcp"``, or several with commas between them; a
            key, a function of the head of a request, or a list of all these.

    Raises:
        SettingsError: it is none of these.
    """
    if value is None or value == "auto":
        return None
    if value is False or (isinstance(value, str) and value.strip().lower() in _OFF):
        return ()
    if isinstance(value, list | tuple):
        return tuple(key for one in value for key in _keys(one))
    return tuple(_keys(value))


def _keys(value: Any) -> list[Key]:  # noqa: ANN401 - whatever a program has set
    if isinstance(value, str):
        return [_named(word.strip()) for word in value.split(",")]
    if not isinstance(value, type) and callable(getattr(value, "find", None)) and hasattr(value, "needs_fields"):
        return [value]
    if callable(value) and not isinstance(value, type):
        return [FunctionKey(value)]
    raise _wrong(value)


def _named(word: str) -> Key:
    if word not in _WORDS:
        raise _wrong(word)
    return _WORDS[word]()


def _wrong(value: object) -> SettingsError:
    return SettingsError(
        'expected routing to be "auto", "off", "socketio", "cookie", "mcp", a key of nodecluster_compat.routing as '
        f"Cookie('session'), a function of a request's head, or a list of these, got {value!r}"
    )
