"""Which interface an application has, by how it can be called."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from gunicorn.errors import AppImportError

from nodecluster_compat._gunicorn.worker.interfaces import refuse_asgi, refuse_wsgi


def wsgi(environ: object, start_response: object) -> list[bytes]:
    return []


async def asgi(scope: object, receive: object, send: object) -> None:
    pass


def either(*args: object) -> None:
    pass


class Object:
    def __call__(self, environ: object, start_response: object) -> list[bytes]:
        return []


class AsgiObject:
    async def __call__(self, scope: object, receive: object, send: object) -> None:
        pass


def with_default(environ: object, start_response: object, more: object = None) -> list[bytes]:
    return []


class Factory:
    """Called without anything; what it makes is called with one thing."""

    def __call__(self, scope: object) -> object:
        return scope


@functools.wraps(asgi)
def says_asgi(environ: object, start_response: object) -> list[bytes]:
    return []


def create_app() -> object:
    return wsgi


async def asgi2(scope: object) -> object:
    return scope


def adapted(view: Callable[[object], Any]) -> Callable[..., Any]:
    """Make an application of a view, as werkzeug's decorator does: it says what it wraps."""

    @functools.wraps(view)
    def application(*args: object) -> Any:
        return view(args[0])

    return application


@adapted
def view(request: object) -> object:
    return request


WSGI = [
    pytest.param(wsgi, id="a WSGI function"),
    pytest.param(Object(), id="a WSGI object"),
    pytest.param(functools.partial(wsgi), id="a WSGI partial"),
]
ASGI = [
    pytest.param(asgi, id="an ASGI function"),
    pytest.param(AsgiObject(), id="an ASGI object"),
    pytest.param(functools.partial(asgi), id="an ASGI partial"),
]
UNKNOWN = [
    pytest.param(either, id="any number"),
    pytest.param(with_default, id="two or three"),
    pytest.param(max, id="written in C"),
    pytest.param(view, id="made of what takes one"),
]
NEITHER = [
    pytest.param(create_app, id="a factory"),
    pytest.param(asgi2, id="of ASGI 2"),
    pytest.param(Object, id="a class"),
    pytest.param(Factory, id="a class whose method takes as many as an application"),
]


@pytest.mark.parametrize("application", [*WSGI, *UNKNOWN])
def test_worker_of_wsgi_takes_what_can_be_called_so(application: Callable[..., Any]) -> None:
    refuse_asgi(application)


@pytest.mark.parametrize("application", [*ASGI, *UNKNOWN])
def test_worker_of_asgi_takes_what_can_be_called_so(application: Callable[..., Any]) -> None:
    refuse_wsgi(application)


@pytest.mark.parametrize("application", WSGI)
def test_wsgi_is_refused_with_its_name_and_the_class_to_take(application: Callable[..., Any]) -> None:
    with pytest.raises(AppImportError, match=r"takes two arguments.*nodecluster_compat\.ThreadWorker"):
        refuse_wsgi(application)


@pytest.mark.parametrize("application", ASGI)
def test_asgi_is_refused_with_its_name_and_the_class_to_take(application: Callable[..., Any]) -> None:
    with pytest.raises(AppImportError, match=r"takes three arguments.*nodecluster_compat\.ASGIWorker"):
        refuse_asgi(application)


@pytest.mark.parametrize("refuse", [refuse_wsgi, refuse_asgi])
@pytest.mark.parametrize("application", NEITHER)
def test_what_can_be_called_as_neither_is_refused_by_its_name(
    refuse: Callable[..., None], application: Callable[..., Any]
) -> None:
    """It would fail at each request."""
    with pytest.raises(AppImportError, match=rf"{application.__name__}, which does not take .*create_app\(\)"):
        refuse(application)


@pytest.mark.parametrize("application", [wsgi, Object(), with_default], ids=["function", "object", "default"])
def test_what_is_plain_is_not_inspected(application: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """In each worker: every function of ``inspect`` would copy pages that it shares with its primary."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it is inspected")

    monkeypatch.setattr("inspect.signature", refuse)
    refuse_asgi(application)


def test_function_that_says_what_it_wraps_is_taken_at_its_word() -> None:
    with pytest.raises(AppImportError, match="asgi, which takes three arguments"):
        refuse_asgi(says_asgi)
