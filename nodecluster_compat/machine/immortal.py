"""Make loaded objects immortal, so that their reference counts are not written and workers share their pages.

Theory of operation
-------------------
A worker calls functions that its primary has loaded, and Python writes the number of references into each object that
it uses.  So the page is copied, for a number that is of no use in objects that live as long as their process.  From
Python 3.12 on an object may be immortal (PEP 683): its number is neither written nor read.  Once, before the first
fork, this makes immortal what libraries consist of: modules, their names, classes and functions, the code of these and
its constants.

The objects that a module or a class holds stay as they are, and so do functions with a closure, which may lead to
anything, and the classes and functions of an application: what it has given to a library is finalised as usual.  Python
clears the names of a module even if the module never ends.  The modules of the application and the other libraries that
it imports are left alone: their objects expect to be finalised while their module is whole.

Of no use, as measured: objects in the order in which they were loaded instead of by size.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, Final

from ..base.native import Choice, in_force
from .frozen import is_from_template

__all__ = ["find_definitions", "make_immortal"]

_LIBRARIES: Final = sys.stdlib_module_names | {
    *("nodecluster_compat", "gunicorn", "gunicorn_h1c", "gevent", "greenlet", "zope", "msgspec", "pyee", "uvloop"),
    "typing_extensions",  # of msgspec
}
_PYTHON_WITH_IMMORTALS: Final = 0x030C0000
_CONSTANTS: Final = (str, bytes, int, float, complex, tuple, frozenset)
_DESCRIPTORS: Final = (
    BuiltinFunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    WrapperDescriptorType,
)


def make_immortal(left_out: object = None, choice: Choice | None = None) -> int:
    """Make what is loaded immortal, where Python and the C extension can; return how many objects that was.

    Args:
        left_out: what stays as it is.
        choice: C or Python; Python cannot.
    """
    native = (choice or in_force()).module
    if native is None or sys.hexversion < _PYTHON_WITH_IMMORTALS or is_from_template():
        return 0
    one_by_one = native.make_immortal
    count = 0

    def keep(one: object) -> bool:
        nonlocal count
        is_new: bool = one is not left_out and one_by_one(one)
        count += is_new
        return is_new

    loaded = list(sys.modules.items())  # an application's thread may import meanwhile
    find_definitions([one for name, one in loaded if _is_library(name, one)], keep)
    return count


def _is_library(name: str, module: object) -> bool:
    return type(module) is ModuleType and _top_of(name) in _LIBRARIES


def _top_of(name: object) -> str:
    return name.partition(".")[0] if isinstance(name, str) else ""


def find_definitions(modules: Iterable[ModuleType], keep: Callable[[object], bool]) -> None:
    """Call ``keep`` with all that these modules consist of; it returns whether that is new to it.

    So nothing has to be remembered here: that would take megabytes, for ever.
    """
    modules = list(modules)
    search = _Search(keep, {_top_of(module.__name__) for module in modules})
    for module in modules:
        search.keep(module)
        search.add_names(vars(module))


class _Search:
    def __init__(self, keep: Callable[[object], bool], packages: set[str]) -> None:
        self.keep = keep
        self._packages = packages

    def add_names(self, names: dict[str, Any]) -> None:
        """A namespace: its names, and what was defined here."""
        self.keep(names)
        for name, value in list(names.items()):
            self.keep(name)
            self.add_value(value)

    def add_value(self, value: Any) -> None:  # noqa: ANN401 - whatever a namespace has
        """What a name stands for: a function, a class, a constant, a descriptor, or parts of it; the rest is let be."""
        kind = type(value)
        if kind is FunctionType:
            self.add_function(value)
        elif issubclass(kind, type):
            self.add_class(value)
        elif kind in _CONSTANTS:
            self.add_constant(value)
        elif kind in _DESCRIPTORS:
            self.keep(value)
        elif kind in _METHODS and self.keep(value):
            for part in _METHODS[kind](value):
                self.add_value(part)

    def add_function(self, function: Any) -> None:  # noqa: ANN401 - mypy has no attributes of functions
        if _top_of(function.__module__) not in self._packages:
            return  # an application has put it there
        if function.__closure__ is None:
            self.keep(function)
        self.add_code(function.__code__)

    def add_class(self, one: Any) -> None:  # noqa: ANN401 - a class, whatever its metaclass says
        if _top_of(one.__module__) not in self._packages or not self.keep(one):
            return
        self.keep(one.__mro__)
        self.keep(one.__bases__)
        (names,) = (found for found in gc.get_referents(vars(one)) if type(found) is dict)
        self.add_names(names)

    def add_code(self, code: CodeType) -> None:
        if self.keep(code):
            for part in (code.co_consts, code.co_names, code.co_name, code.co_filename):
                self.add_constant(part)
            for name in code.co_varnames:  # a tuple that is made for whoever asks
                self.keep(name)

    def add_constant(self, one: object) -> None:
        if isinstance(one, CodeType):
            self.add_code(one)
        elif type(one) in _CONSTANTS and self.keep(one) and isinstance(one, (tuple, frozenset)):
            for part in one:
                self.add_constant(part)


def _of_property(one: Any) -> list[object]:  # noqa: ANN401 - as above
    return [one.fget, one.fset, one.fdel]


def _of_method(one: Any) -> list[object]:  # noqa: ANN401 - as above
    return [one.__func__]


_METHODS: Final[dict[type, Callable[[Any], list[object]]]] = {
    property: _of_property,
    staticmethod: _of_method,
    classmethod: _of_method,
}
