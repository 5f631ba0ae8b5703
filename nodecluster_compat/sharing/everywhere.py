"""Run a function of a module in every worker: the worker finds it by its name, as ``pickle`` does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec

from ..base.handler_calls import run_guarded
from ..errors import ArgumentTypeError
from ..roles.answers import awaited, waited
from ..roles.requests import checked_request_timeout
from .outcomes import Failure
from .wire import encode

if TYPE_CHECKING:
    from ..roles.answers import Replied
    from .sides import Around
    from .verbs import Caller, Returning, Verbs

__all__ = ["Everywhere", "Run", "function_named", "named"]


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


class Everywhere:
    """Runs functions in every worker, of this process' asking, and those that others ask for.

    Args:
        sharing: around it.
        verbs: what the exchange can ask of this process.
        asking: see :meth:`~nodecluster_compat.sharing.bus.Bus.asking`.
    """

    def __init__(
        self,
        sharing: Around,
        verbs: Verbs,
        asking: Callable[[None, str, bytes, float | None], Callable[[Replied], None]],
    ) -> None:
        self._sharing = sharing
        self._asking = asking
        verbs.on("run", Run, self._run)

    def ask(
        self, function: Callable[..., Any], args: tuple[Any, ...], keywords: dict[str, Any], timeout: object
    ) -> Any:  # noqa: ANN401 - replies
        """Run a function in every worker; see :meth:`~nodecluster_compat.roles.cluster.Cluster.everywhere`."""
        return waited(self._sharing.side.wait, self._begin(function, args, keywords, timeout))

    async def ask_async(
        self, function: Callable[..., Any], args: tuple[Any, ...], keywords: dict[str, Any], timeout: object
    ) -> Any:  # noqa: ANN401 - replies
        """As :meth:`ask`, for tasks."""
        return await awaited(self._sharing.side.waiting, self._begin(function, args, keywords, timeout))

    def _begin(
        self, function: Callable[..., Any], args: tuple[Any, ...], keywords: dict[str, Any], timeout: object
    ) -> Callable[[Replied], None]:
        return self._asking(None, "run", named(function, args, keywords), checked_request_timeout(timeout))

    def _run(self, _: Caller, run: Run, returning: Returning) -> None:
        member = self._sharing.member
        call = partial(run_guarded, f"{run.module}.{run.name} everywhere", None, _called, run, returning)
        if member is None or member.runtime is None:
            call()
        else:
            member.runtime.spawn(call)


def _called(run: Run, returning: Returning) -> object:
    try:
        result = function_named(run)(*run.args, **run.named)
    except BaseException as error:  # what a time limit of gevent's raises, too
        returning.failure(Failure("failed", f"{run.module}.{run.name} raised {error!r}"))
        raise
    if hasattr(type(result), "__await__"):
        return _awaited(run, result, returning)
    returning.value(result)
    return None


async def _awaited(run: Run, result: Any, returning: Returning) -> None:  # noqa: ANN401 - anything that is awaited
    try:
        value = await result
    except BaseException as error:
        returning.failure(Failure("failed", f"{run.module}.{run.name} raised {error!r}"))
        raise
    returning.value(value)
