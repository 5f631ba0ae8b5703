"""Call the hooks of other plugins, and say of one that fails which it is, and where: in a sentence."""

from __future__ import annotations

import inspect
import os
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from ..errors import HookError

if TYPE_CHECKING:
    from pluggy import HookCaller

__all__ = ["call_hook", "failed_hook", "names_hook"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

FAILURES: tuple[type[BaseException], ...] = (
    Exception,
    pytest.fail.Exception,
    pytest.skip.Exception,
    SystemExit,
)
"""What a hook may raise that is its failure: ``pytest.fail`` raises no ``Exception``."""


def call_hook(caller: HookCaller, *, lets: tuple[type[BaseException], ...] = (), **arguments: object) -> Any:  # noqa: ANN401 - what the hook returns
    """Call a hook.

    :param lets: what an implementation may raise, and not be said to fail; also ``pytest.exit``, always.
    :raises HookError: an implementation has failed.
    """
    try:
        return caller(**arguments)
    except (pytest.exit.Exception, *lets):
        raise
    except FAILURES as problem:
        raise HookError(failed_hook(caller, problem)) from problem


def failed_hook(caller: HookCaller, problem: BaseException) -> str:
    """Say which implementation of a hook has raised what."""
    return f"{names_hook(caller, problem)} failed: {type(problem).__name__}: {problem}"


def names_hook(caller: HookCaller, problem: BaseException) -> str:
    """Name a hook, and the place in the implementation that *problem* has come through."""
    codes = {_code_of(one.function) for one in caller.get_hookimpls()}
    for frame, line in traceback.walk_tb(problem.__traceback__):
        if frame.f_code in codes:
            return f"{caller.name} in {_shown(frame.f_code.co_filename)}:{line}"
    return caller.name


def _code_of(function: Callable[..., object]) -> object:
    return getattr(inspect.unwrap(function), "__code__", None)


def _shown(path: str) -> str:
    """Return a path as it is shortest: below the current folder without that."""
    here = os.path.join(os.getcwd(), "")
    return path.removeprefix(here)
