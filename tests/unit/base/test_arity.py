"""Handlers are fitted to the arguments of their event when they are registered: every kind of callable."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from unittest.mock import AsyncMock, MagicMock, Mock

import pytest

from nodecluster_compat.base.arity import Arity, arity_of, fitted
from nodecluster_compat.base.emitter import Emitter
from nodecluster_compat.errors import ArgumentTypeError


class Thing:
    """A class with every kind of method."""

    def __init__(self, first: object = None) -> None:
        self.seen: list[object] = [first]

    def one(self, first: object) -> object:
        return first

    @staticmethod
    def static() -> str:
        return "static"

    @classmethod
    def of(cls, first: object) -> object:
        return first

    def __call__(self, first: object) -> object:
        return first


def passes_on(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that takes anything."""

    @functools.wraps(function)
    def wrapper(*args: Any, **named: Any) -> Any:
        return function(*args, **named)

    return wrapper


CASES: dict[str, tuple[Callable[..., Any], Any]] = {
    "as many": (lambda a, b: (a, b), (1, 2)),
    "none": (lambda: "none", "none"),
    "fewer": (lambda a: a, 1),
    "a default within": (lambda a, b=5: (a, b), (1, 2)),
    "a default beyond": (lambda a, b, c=5: (a, b, c), (1, 2, 5)),
    "more": (lambda a, b, c, d: (a, b, c, d), (1, 2, None, None)),
    "starred": (lambda *args: args, (1, 2)),
    "starred after three": (lambda a, b, c, *args: (a, b, c, args), (1, 2, None, ())),
    "keyword-only with a default": (lambda a, *, b=3: (a, b), (1, 3)),
    "bound method": (Thing().one, 1),
    "static method": (Thing.static, "static"),
    "class method": (Thing.of, 1),
    "object that is callable": (Thing(), 1),
    "partial": (functools.partial(lambda a, b: (a, b), 0), (0, 1)),
    "partial that is full": (functools.partial(lambda a: a, 0), 0),
    "partial with a keyword": (functools.partial(lambda a, b: (a, b), b=9), (1, 9)),
    "decorated": (passes_on(lambda a: a), 1),
    "decorated method": (passes_on(Thing().one), 1),
    "cached": (functools.lru_cache(lambda a: a), 1),
    "builtin": (len, None),
    "mock of a function": (Mock(spec=lambda a: a, return_value="mock"), "mock"),
    "mock": (MagicMock(return_value="mock"), "mock"),
}


@pytest.mark.parametrize("name", CASES)
def test_handler_gets_what_it_takes(name: str) -> None:
    """Two arguments, cut or filled up to what it takes."""
    handler, result = CASES[name]
    if handler is len:
        assert fitted(handler, 2, "x")([7], "ignored") == 1
    else:
        assert fitted(handler, 2, "x")(1, 2) == result


def test_class_and_bound_builtin() -> None:
    """A class makes an object of what it takes; a list gets the first."""
    assert fitted(Thing, 2, "x")("a", "b").seen == ["a"]
    seen: list[str] = []
    fitted(seen.append, 2, "x")("a", "b")
    assert seen == ["a"]


def test_what_is_cut_still_has_its_name() -> None:
    """It is in the log when it raises."""

    def one(a: object) -> None:
        pass

    for handler in (one, Thing().one, lambda: None):
        name = handler.__qualname__  # type: ignore[attr-defined]
        assert name in repr(fitted(handler, 2, "x"))


def test_what_has_no_signature_is_called_as_it_is() -> None:
    """Nobody can tell, so nothing is changed."""
    assert arity_of(dict.update, "x") in (None, Arity(1, None))
    assert fitted(int, 1, "x")("7") == 7


def test_no_cost_where_it_takes_what_comes() -> None:
    """The handler itself is called, not something around it."""

    def two(a: object, b: object) -> None: ...

    def optional(a: object, b: object = None, c: object = None) -> None: ...

    method = Thing().one
    assert fitted(two, 2, "x") is two
    assert fitted(optional, 2, "x") is optional
    assert fitted(method, 1, "x") is method


def test_unknown_count_is_cut_when_it_is_called() -> None:
    """An event of a program's own."""
    call = fitted(lambda a: a, None, "x")
    assert (call(1, 2, 3), call(1), call()) == (1, 1, None)


async def coroutine(first: object) -> None:
    """Nobody awaits it."""


class Awaitable:
    """Called, it is a coroutine."""

    async def __call__(self) -> None: ...


@pytest.mark.parametrize("handler", [coroutine, Awaitable(), AsyncMock(), functools.partial(coroutine, 1)])
def test_coroutine_functions_are_refused(handler: Callable[..., Any]) -> None:
    """Instead of a warning that it was never awaited."""
    with pytest.raises(ArgumentTypeError, match="nothing here awaits it"):
        fitted(handler, 1, "the handler of 'x'")


def test_what_needs_a_keyword_is_refused() -> None:
    """It could never be called."""

    def handler(a: object, *, name: str) -> None: ...

    with pytest.raises(ArgumentTypeError, match="needs the keyword argument 'name': give it a default"):
        fitted(handler, 1, "the handler of 'x'")


@pytest.mark.parametrize("register", ["on", "once", "add_listener"])
def test_every_way_to_register_fits(register: str) -> None:
    """Removed by the handler that was given, whatever is called for it."""
    emitter, seen = Emitter(), []

    def handler(a: object) -> None:
        seen.append(a)

    getattr(emitter, register)("x", handler)
    emitter.emit("x", 1, 2, 3)
    emitter.off("x", handler)
    emitter.emit("x", 4)
    assert seen == [1]


@pytest.mark.parametrize("event", [5, None, b"x"])
def test_name_of_an_event_is_text(event: Any) -> None:
    """A sentence, where Node takes symbols."""
    with pytest.raises(ArgumentTypeError, match="expected the name of an event"):
        Emitter().on(event, print)


def test_handler_that_cannot_be_found_again_is_refused() -> None:
    """Handlers are kept by their hash."""

    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self) -> None: ...

    with pytest.raises(ArgumentTypeError, match="expected a hashable handler of 'x'"):
        Emitter().on("x", Unhashable())


def test_function_with_defaults_is_not_inspected(monkeypatch: pytest.MonkeyPatch) -> None:
    """As handlers are registered in every worker: ``inspect.signature`` is slow, and copies pages that are shared."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it is inspected")

    monkeypatch.setattr("inspect.signature", refuse)

    def handler(first: object, second: object = None) -> tuple[object, object]:
        return first, second

    assert [fitted(handler, count, "a handler") for count in (1, 2)] == [handler, handler]
