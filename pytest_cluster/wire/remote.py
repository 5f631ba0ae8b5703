"""Name a function for a call in another process, and read the outcome of the call."""

from __future__ import annotations

import importlib.util
import pickle
import sys
from collections.abc import Callable
from types import FunctionType

from ..errors import NotImportable, RemoteError, RemoteTraceback
from ..values import Pickled
from .records import Function, Outcome

__all__ = ["function_record", "value_of"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all


def function_record(function: Callable[..., object] | str) -> Function:
    """Return how a worker finds *function*, which may be a name: ``"module:name"``.

    :raises NotImportable: it cannot; the sentence says what to do.
    """
    if isinstance(function, str):
        where, _, what = function.partition(":")
        if not what:
            raise NotImportable(f"expected a function, or its name as 'module:name', not {function!r}")
        return Function(where, what, None)
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        raise NotImportable(
            f"expected a function, not {function!r:.100}: give one from the top level of a file, or its name as "
            "'module:name', and its arguments after it"
        )
    if "<" not in name and _found(module, name) is function:
        file = getattr(sys.modules.get(module), "__file__", None)
        return Function(module, name, file if isinstance(function, FunctionType | type) else None)
    return Function(module, name, None, _by_value(function, name))


def value_of(outcome: Outcome, where: str) -> Pickled:
    """Return the value, or raise what was raised there, with the traceback of the other process as its cause.

    :raises RemoteError: the exception, or the value, cannot be brought over.
    """
    if outcome.value is not None:
        try:
            return pickle.loads(outcome.value)  # noqa: S301 - from the cluster under test, see wire
        except Exception as error:
            raise RemoteError(f"the result of {where} cannot be read here: {error}; return plain data") from error
    cause = RemoteTraceback(f"\nin {where}:\n{outcome.traceback}")
    try:
        raised: BaseException = pickle.loads(outcome.error or b"")  # noqa: S301 - as above
    except Exception:  # noqa: BLE001 - whatever unpickling a class of the application says
        raise RemoteError(f"{where} raised {outcome.summary}") from cause
    raise raised from cause


def _found(module: str, name: str) -> object:
    found: object = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _by_value(function: Callable[..., object], name: str) -> bytes:
    if importlib.util.find_spec("cloudpickle") is None:
        raise NotImportable(
            f"a worker cannot import {name}: a lambda, or a function inside another, has no name there; "
            "move it to the top level of its file, or install cloudpickle"
        )
    import cloudpickle  # type: ignore[import-not-found,import-untyped,unused-ignore]

    result: bytes = cloudpickle.dumps(function)
    return result
