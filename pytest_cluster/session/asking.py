"""Find out before a test runs whether it will ask for a cluster: as an argument, or only while it runs.

``request.getfixturevalue("cluster")``, a step of pytest-bdd and ``getfixture("cluster")`` in a doctest are in no list
of arguments.  The names are read from the code, which is not run: that of the test, of a test case's ``setUp``, and of
the functions of its module and methods of its class that these call.  A name that is made at run time is in no code
either; whoever asks with such a one is noted then.
"""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any
from unittest import TestCase

from ..stash import FIXTURES

if TYPE_CHECKING:
    import pytest

__all__ = ["asks_for", "asks_while_it_runs", "may_ask", "names_asked_for"]

GET = "getfixturevalue"
SET_UPS = ("setUpClass", "setUp", "asyncSetUp", "asyncTearDown", "tearDown")
MOST_FUNCTIONS = 100
"""That are looked through for one test."""
GET_IN_DOCTEST = "getfixture("
TEXT_IN_DOCTEST = re.compile(r"""["'](\w+)["']""")


def asks_for(item: pytest.Item, goals: Iterable[str] = FIXTURES) -> bool:
    """Whether *item* will ask for one of the fixtures *goals*, as an argument or while it runs."""
    wanted = frozenset(goals)
    return bool(wanted & set(getattr(item, "fixturenames", ()))) or asks_while_it_runs(item, wanted)


def asks_while_it_runs(item: pytest.Item, goals: Iterable[str] = FIXTURES) -> bool:
    """Whether *item*, or a fixture or a step that it uses, names one of *goals* in its code."""
    wanted, seen = frozenset(goals), set[str]()
    waiting = [*getattr(item, "fixturenames", ()), *_asked_by(item)]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in wanted:
            return True
        for definition in _definitions(item, name)[-1:]:
            waiting += [*definition.argnames, *names_asked_for(definition.func)]
    return False


def may_ask(item: pytest.Item) -> bool:
    """Whether nothing forbids that *item* asks for a cluster: it has ``request``, or ``getfixture``, or does so."""
    return "request" in getattr(item, "fixturenames", ()) or hasattr(item, "dtest") or asks_for(item)


def names_asked_for(function: Callable[..., object] | None, owner: type | None = None) -> list[str]:
    """Return the identifiers in a function's code, and what it calls, if ``getfixturevalue`` is there; or nothing.

    :param owner: the class of which it is a method.
    """
    reached = _reached(function, owner)
    if not any(GET in one.co_names for found in reached for one in _codes(found.__code__)):
        return []
    of_class = [vars(one).get(name) for one in getattr(owner, "__mro__", ()) for name in _all_names(reached)]
    texts = [*(one for found in reached for one in _texts(found)), *_flat_texts(of_class)]
    return [one for one in texts if one.isidentifier()]


def _reached(function: object, owner: type | None) -> list[FunctionType]:
    """Return a function, and those of its module and its class that it calls by name, and that these call."""
    found: list[FunctionType] = []
    waiting: list[object] = [function]
    while waiting and len(found) < MOST_FUNCTIONS:
        one = inspect.unwrap(one) if callable(one := waiting.pop()) else None
        one = getattr(one, "__func__", one)
        if isinstance(one, FunctionType) and one not in found:
            found.append(one)
            waiting += [called for name in _names(one) if (called := _named(name, one, owner)) is not None]
    return found


def _named(name: str, function: FunctionType, owner: type | None) -> object:
    """Return what a function means by a name: a global of its module, or a method of its class."""
    value = function.__globals__.get(name, inspect.getattr_static(owner, name, None) if owner else None)
    is_near = getattr(value, "__module__", None) in (function.__module__, getattr(owner, "__module__", None))
    return value if is_near and isinstance(value, FunctionType | staticmethod | classmethod) else None


def _all_names(functions: Iterable[FunctionType]) -> set[str]:
    return {name for one in functions for name in _names(one)}


def _names(function: FunctionType) -> Iterator[str]:
    for one in _codes(function.__code__):
        yield from one.co_names


def _texts(function: FunctionType) -> Iterator[str]:
    """Yield the texts in a function's code, and the globals in it that are texts."""
    constants = [constant for one in _codes(function.__code__) for constant in _flat(one.co_consts)]
    named = [function.__globals__.get(name) for name in _names(function)]
    yield from (one for one in [*constants, *named] if isinstance(one, str))


def _asked_by(item: pytest.Item) -> list[str]:
    """Return the names that the test itself asks for: its function, its doctest, or its steps."""
    if hasattr(item, "dtest"):
        source = "".join(example.source for example in item.dtest.examples)
        return TEXT_IN_DOCTEST.findall(source) if GET_IN_DOCTEST in source else []
    function, owner = getattr(item, "function", None), getattr(item, "cls", None)
    methods = SET_UPS if isinstance(owner, type) and issubclass(owner, TestCase) else ()
    set_ups = [name for one in methods for name in names_asked_for(getattr(owner, one, None), owner)]
    itself = names_asked_for(function, owner)
    given = _parameters(item) if itself else []
    return [*itself, *given, *set_ups, *_asked_by_steps(item, function)]


def _parameters(item: pytest.Item) -> list[str]:
    """Return the texts that ``parametrize`` gives a test: names that it may ask for."""
    marks = item.iter_markers("parametrize")
    values = [value for mark in marks for value in (mark.args[1:2] or [mark.kwargs.get("argvalues", ())])]
    return [one for value in values if isinstance(value, list | tuple) for one in _flat_texts(value)]


def _flat_texts(values: Iterable[object]) -> Iterator[str]:
    for one in values:
        if isinstance(one, str):
            yield one
        elif isinstance(one, list | tuple):  # pytest.param is a tuple, too
            yield from _flat_texts(one)


def _asked_by_steps(item: pytest.Item, function: Callable[..., object] | None) -> list[str]:
    if getattr(function, "__module__", "") != "pytest_bdd.scenario":
        return []
    names: list[str] = []
    with contextlib.suppress(ImportError, AttributeError, TypeError):  # another version of pytest-bdd
        for step_function in _steps(item, function):
            names += [*inspect.signature(step_function).parameters, *names_asked_for(step_function)]
    return names


def _steps(item: pytest.Item, function: object) -> Iterator[Callable[..., object]]:
    """Yield the functions of the steps of a scenario, with each of its examples."""
    bdd: Any = import_module("pytest_bdd.scenario")
    template = bdd.scenario_wrapper_template_registry[function]
    contexts = [context for examples in template.examples for context in examples.as_contexts()]
    for context in contexts or [{}]:
        for step in template.render(context).steps:
            for definition in bdd.find_fixturedefs_for_step(step, _manager(item), item):
                yield bdd.step_function_context_registry[definition.func].step_func


def _definitions(item: pytest.Item, name: str) -> Sequence[Any]:
    known: Sequence[Any] = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {}).get(name, ())
    return known or _manager(item).getfixturedefs(name, item) or ()


def _manager(item: pytest.Item) -> Any:  # noqa: ANN401 - pytest's own, which it does not export
    return item.session._fixturemanager


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _flat(constants: Iterable[object]) -> Iterator[object]:
    for one in constants:
        if isinstance(one, tuple | frozenset):
            yield from _flat(one)
        else:
            yield one
