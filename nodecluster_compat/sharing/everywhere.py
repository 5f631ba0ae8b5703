"""Run a function of a module in every worker: the worker finds it by its name, as ``pickle`` does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from operator import attrgetter
from typing import Any

import msgspec

from ..errors import ArgumentTypeError
from .wire import encode

__all__ = ["Run", "function_named", "named"]


class Run(msgspec.Struct, array_like=True, frozen=True):
    """A function by its name, and what to call it with."""

    module: str
    name: str
    args: list[Any]
    named: dict[str, Any]


def named(function: object, args: tuple[Any, ...], keywords: dict[str, Any]) -> bytes:
    """Return what other processes find the function by, encoded, with its arguments.

    Raises:
        ArgumentTypeError: it is no function of a module, which others would find by its name.
        MessageNotSerializable, MessageTooLarge: the arguments cannot be sent.
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not (callable(function) and isinstance(module, str) and isinstance(name, str)):
        raise ArgumentTypeError(f"expected a function of a module, got {function!r}")
    try:
        found = attrgetter(name)(sys.modules[module])
    except (AttributeError, KeyError):
        found = None
    if found is not function:
        raise ArgumentTypeError(
            f"expected a function that {module} has by the name {name}, so that others find it, got {function!r}"
        )
    return encode(Run(module, name, list(args), keywords), "arguments")


def function_named(run: Run) -> Callable[..., Any]:
    """Return the function.

    Raises:
        ImportError, AttributeError: there is none of that name here.
    """
    module = sys.modules.get(run.module) or import_module(run.module)
    found: Callable[..., Any] = attrgetter(run.name)(module)
    return found
