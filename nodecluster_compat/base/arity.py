"""Fit a handler to the arguments that it is called with, once, when it is registered.

JavaScript drops arguments that a function does not take, and gives ``undefined`` for those that it lacks.  Programs
rely on it: ``cluster.on('exit', (worker) => …)``.  Here a handler that takes what it is given is called directly, so it
costs nothing; any other is wrapped by a function that drops or adds (``None``).  What has no readable signature (some
functions written in C) is called as it is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from types import FunctionType, MethodType
from typing import Any, Final

from msgspec import Struct

from ..errors import ArgumentTypeError

__all__ = ["Arity", "arity_of", "checked_callback", "fitted", "takes_plainly"]

_STARRED: Final = inspect.CO_VARARGS | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_Cached: Final = type(lru_cache(lambda: None))
_BY_POSITION: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Arity(Struct, frozen=True):
    """How many positional arguments a callable takes.

    Attributes:
        least: how many it needs.
        most: how many it takes; ``None`` for any number.
    """

    least: int
    most: int | None

    def takes(self, count: int) -> bool:
        """Whether it can be called with ``count`` arguments."""
        return self.least <= count and (self.most is None or count <= self.most)


def arity_of(handler: Callable[..., Any], what: str, is_awaited: bool = False) -> Arity | None:
    """Return how many arguments ``handler`` takes; ``None`` when nobody can tell.

    Args:
        handler: any callable.
        what: what it is, for the sentence of an error: ``"the handler of 'exit'"``.
        is_awaited: whether an event loop here awaits what it returns.

    Raises:
        ArgumentTypeError: it cannot be called by position alone, or is a coroutine function, which nobody would await.
    """
    if not is_awaited and _is_coroutine_function(handler):
        raise ArgumentTypeError(
            f"expected a plain function as {what}, got the coroutine function {_name(handler)}: nothing here awaits "
            "it; run it in an event loop of your own, from a plain function"
        )
    try:
        signature = inspect.signature(handler, follow_wrapped=False)
    except (TypeError, ValueError):
        return arity_of(handler.__wrapped__, what, is_awaited) if isinstance(handler, _Cached) else None
    parameters = list(signature.parameters.values())
    needed = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY and one.default is one.empty]
    if needed:
        raise ArgumentTypeError(
            f"expected {what} to be called by position alone, got {_name(handler)}, which needs the keyword argument "
            f"{needed[0]!r}: give it a default"
        )
    positional = [one for one in parameters if one.kind in _BY_POSITION]
    least = sum(one.default is one.empty for one in positional)
    if not any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return Arity(least, len(positional))
    wrapped = getattr(handler, "__wrapped__", None) if isinstance(handler, FunctionType) else None
    return arity_of(wrapped, what, is_awaited) if callable(wrapped) else Arity(least, None)


def fitted(
    handler: Callable[..., Any],
    count: int | None,
    what: str,
    call: Callable[..., Any] | None = None,
    *,
    is_awaited: bool = False,
) -> Callable[..., Any]:
    """Return what to call with ``count`` arguments in place of ``handler``: itself, where it takes as many.

    Args:
        handler: whose signature counts.
        count: how many arguments there will be; ``None`` when that is not known.
        what: what it is, for the sentence of an error.
        call: what is called in the end, if not ``handler`` itself.
        is_awaited: whether an event loop here awaits what it returns.

    Raises:
        ArgumentTypeError: ``handler`` is not callable, or can never be called with positional arguments alone.
    """
    target = handler if call is None else call
    if count is not None and takes_plainly(handler, count):
        return target
    if not callable(handler):
        raise ArgumentTypeError(f"expected a callable as {what}, got {type(handler).__name__}")
    arity = arity_of(handler, what, is_awaited)
    if arity is None or (count is not None and arity.takes(count)) or (arity.least == 0 and arity.most is None):
        return target
    return _adapter(target, arity)


def checked_callback(callback: Callable[..., Any] | None, count: int, what: str) -> Callable[..., Any] | None:
    """Return a callback that takes ``count`` arguments, or ``None`` for none; see :func:`fitted`."""
    return None if callback is None else fitted(callback, count, what)


def takes_plainly(handler: object, count: int) -> bool:
    """Whether it is a plain function or method that can be called with ``count`` arguments; false: not known.

    The common cases, without the price of ``inspect.signature``: a callback may come with every message, and in a
    worker that has just been forked each function of ``inspect`` copies pages that are shared.
    """
    if type(handler) is MethodType:
        handler, count = handler.__func__, count + 1
    if type(handler) is not FunctionType or handler.__kwdefaults__ is not None:
        return False
    code = handler.__code__
    least = code.co_argcount - len(handler.__defaults__ or ())
    return least <= count <= code.co_argcount and not code.co_kwonlyargcount and not code.co_flags & _STARRED


def _is_coroutine_function(handler: object) -> bool:
    try:
        return any(map(inspect.iscoroutinefunction, (handler, getattr(handler, "__call__", None))))  # noqa: B004
    except TypeError:  # a mock that pretends to be a function
        return False


def _adapter(target: Callable[..., Any], arity: Arity) -> Callable[..., Any]:
    least, most = arity.least, arity.most

    def call(*args: Any, **named: Any) -> Any:  # noqa: ANN401 - as the handler has it
        missing = least - len(args)
        return target(*args, *(None,) * missing, **named) if missing > 0 else target(*args[:most], **named)

    def call_without(*_: Any, **named: Any) -> Any:  # noqa: ANN401 - as above
        return target(**named)

    adapter = call_without if most == 0 else call
    adapter.__qualname__ = _name(target)  # it is shown, in logs
    return adapter


def _name(handler: object) -> str:
    return getattr(handler, "__qualname__", None) or repr(handler)
