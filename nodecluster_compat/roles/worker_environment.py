"""Convert the ``env`` of ``cluster.fork(env)`` to environment variables: text, as Node converts it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..errors import ArgumentError, ArgumentTypeError

__all__ = ["worker_environment"]


def worker_environment(env: Mapping[str, object] | None) -> dict[str, str | None]:
    """Return the variables as text; ``None`` for one that the worker is not to have, as ``undefined`` in Node.

    Args:
        env: names, and values of any simple type: ``8000`` becomes ``"8000"``, ``True`` becomes ``"true"``.

    Raises:
        ArgumentError: a name or a value that no environment can have.
    """
    if env is None:
        return {}
    if not isinstance(env, Mapping):
        raise ArgumentTypeError(f"expected a mapping of environment variables, got {env!r}")
    return {_name(name): None if value is None else _text(name, value) for name, value in env.items()}


def _name(name: object) -> str:
    if isinstance(name, int) and not isinstance(name, bool):
        name = str(name)
    if not isinstance(name, str) or not name or "=" in name or "\0" in name:
        raise ArgumentError(f"expected the name of an environment variable (text without '=' and NUL), got {name!r}")
    return name


def _text(name: object, value: object) -> str:
    text = _spelt(value)
    if text is None:
        raise ArgumentTypeError(
            f"expected text, a number or a truth value for environment variable {name!r}, got {value!r}: "
            "json.dumps() makes text of it"
        )
    if "\0" in text:
        raise ArgumentError(f"expected text without NUL for environment variable {name!r}, got {value!r}")
    return text


def _spelt(value: object) -> str | None:
    """As JavaScript spells it; ``None`` where it would say ``[object Object]``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, bytes | os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, list | tuple):
        parts = ["" if one is None else _spelt(one) for one in value]
        return None if None in parts else ",".join(part or "" for part in parts)
    return None
