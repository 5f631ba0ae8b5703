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
