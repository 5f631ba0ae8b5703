"""Answer at once the ``import`` statements inside a function whose modules are imported already.

gunicorn imports ``unquote_to_bytes`` of ``urllib.parse`` in what makes each request.  Python then asks that module
whether it is a package, and the module says no by an exception out of a function: a microsecond of some twenty that a
request costs.
"""

from __future__ import annotations

import builtins
import urllib.parse
from collections.abc import Callable, Mapping
from types import FunctionType, ModuleType
from typing import Any

from gunicorn.asgi.parser import CallbackRequest

__all__ = ["answer_imports", "with_known_imports"]


def with_known_imports(function: FunctionType, known: Mapping[str, ModuleType]) -> Callable[..., Any]:
    """Return ``function``, whose ``import`` statements find the ``known`` modules by their names.

    Args:
        function: without a closure.
        known: modules that are not packages, by the names that it imports from.
    """

    def find(name: str, *rest: Any) -> ModuleType:
        return known.get(name) or builtins.__import__(name, *rest)

    variables = {**function.__globals__, "__builtins__": {**vars(builtins), "__import__": find}}
    return FunctionType(function.__code__, variables, function.__name__, function.__defaults__)


def answer_imports() -> None:
    """Have gunicorn's requests made so, in this worker."""
    made = with_known_imports(CallbackRequest.from_parser.__func__, {"urllib.parse": urllib.parse})
    CallbackRequest.from_parser = classmethod(made)
