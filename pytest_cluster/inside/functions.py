"""Find the function that the test names, call it, and pickle its outcome."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pickle
import sys
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ..errors import NotImportable
from ..wire.records import Function, Outcome

__all__ = ["ENDS_PROCESS", "outcome_of", "resolve"]

ENDS_PROCESS = (SystemExit, KeyboardInterrupt, GeneratorExit)


def resolve(function: Function) -> Callable[..., Any]:
    """Return the function itself: by value, by import, or from the file that defines it.

    :raises NotImportable: it is not there; the sentence says what to do.
    """
    if function.pickled is not None:
        made: Callable[..., Any] = pickle.loads(function.pickled)  # noqa: S301 - from the test, see wire
        return made
    try:
        found: Any = _module(function)
        for name in function.name.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError) as error:
        raise NotImportable(
            f"{function.module}:{function.name} cannot be imported here: {error}; what a test sends must be in a file "
            "of the application or at the top level of the test's own file, or its folder in pytest's pythonpath"
        ) from error
    result: Callable[..., Any] = found
    return result


def outcome_of(call: Callable[[], Any]) -> Outcome:
    """Call, and return how it ended; only what ends a process is let through."""
    try:
        value = call()
    except ENDS_PROCESS:
        raise
    except BaseException as error:  # noqa: BLE001 - it is the caller's, in another process: also pytest.fail's
        return _failure(error)
    try:
        return Outcome(value=pickle.dumps(value))
    except Exception as error:  # noqa: BLE001 - whatever pickling says of a user's object
        return _failure(TypeError(f"the result {value!r:.200} cannot be sent back: {error}; return plain data"))


def _failure(error: BaseException) -> Outcome:
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        pickled = pickle.dumps(error)
        pickle.loads(pickled)  # noqa: S301 - an exception with arguments of its own may not come back
    except Exception:  # noqa: BLE001 - as above
        pickled = None
    return Outcome(error=pickled, summary=f"{type(error).__name__}: {error}", traceback=text)


def _module(function: Function) -> ModuleType:
    """Import the module; a test file, which no path leads to, is loaded from where it is."""
    known = sys.modules.get(function.module)
    if known is not None and _is_from(known, function.file):
        return known
    try:
        module = importlib.import_module(function.module)
    except ImportError:
        if function.file is None:
            raise
    else:
        if function.file is None or _is_from(module, function.file):
            return module
    assert function.file is not None
    return _load(f"pytest_cluster_loaded.{function.module}", function.file)


def _load(name: str, file: str) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _is_from(module: ModuleType, file: str | None) -> bool:
    own = getattr(module, "__file__", None)
    return file is None or (own is not None and os.path.realpath(own) == os.path.realpath(file))
