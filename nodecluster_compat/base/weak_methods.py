"""Keep methods that are called as long as their objects live."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar
from weakref import WeakMethod

__all__ = ["WeakMethods"]

Method = TypeVar("Method", bound=Callable[..., Any])


class WeakMethods(Generic[Method]):
    """Methods of objects that it does not keep alive.  A signal handler may ask for them at any moment."""

    def __init__(self) -> None:
        self._methods: list[WeakMethod[Method]] = []

    def add(self, method: Method) -> None:
        """Keep a bound method, and forget those whose objects are gone."""
        self._methods = [*(one for one in self._methods if one() is not None), WeakMethod(method)]

    def __iter__(self) -> Iterator[Method]:
        """Return those whose objects live."""
        return iter([method for one in self._methods if (method := one()) is not None])
