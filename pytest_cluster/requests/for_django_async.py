"""Make Django's ``AsyncClient`` ask the cluster, as :mod:`.for_django` does with its ``Client``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..errors import MissingLibrary
from .for_django import DEFAULT_HOST, SAFE_METHODS, check_sessions, forge, response_of
from .wsgi import HTTPS

if TYPE_CHECKING:
    from .response import Response

__all__ = ["django_async_client"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

Ask = Callable[[str, str, dict[str, str], "bytes | None"], Awaitable["Response"]]


def django_async_client(ask: Ask, host: str, defaults: dict[str, Any]) -> Any:  # noqa: ANN401 - Django has no types
    """Return a ``django.test.AsyncClient`` whose requests go where *ask* sends them.

    :param host: the header field ``Host``, unless a test says another.
    :param defaults: what Django's client takes.
    :raises MissingLibrary: Django is not installed.
    """
    try:
        from asgiref.sync import sync_to_async
        from django.test import AsyncClient
    except ImportError:
        raise MissingLibrary("cluster.django_async_client()", "django") from None

    class ClusterDjangoAsyncClient(AsyncClient):  # type: ignore[misc]
        """Django's client, whose requests go to the cluster."""

        def __init__(self, enforce_csrf_checks: bool = False, *args: Any, **more: Any) -> None:
            super().__init__(enforce_csrf_checks, *args, **more)
            self.handler = _Handler(ask, host, enforce_csrf_checks=enforce_csrf_checks)

        def _login(self, *args: Any, **kwargs: Any) -> None:
            check_sessions()
            super()._login(*args, **kwargs)
            check_sessions()

        async def _alogin(self, *args: Any, **kwargs: Any) -> None:
            check = sync_to_async(check_sessions)  # on the thread that has the connections
            await check()
            await super()._alogin(*args, **kwargs)
            await check()

    return ClusterDjangoAsyncClient(**defaults)


class _Handler:
    """Answers an ASGI scope with a response of Django's, as its ``AsyncClientHandler`` does.

    :param enforce_csrf_checks: an attribute as of ``AsyncClientHandler``: without it requests are given a CSRF token
        that is right.
    """

    def __init__(self, ask: Ask, host: str, *, enforce_csrf_checks: bool) -> None:
        self._ask = ask
        self._host = host
        self.enforce_csrf_checks = enforce_csrf_checks

    async def __call__(self, scope: dict[str, Any]) -> Any:  # noqa: ANN401
        from django.core.handlers.asgi import ASGIRequest

        payload = scope.pop("_body_file", None)
        body = None if payload is None else payload.read()
        headers = _headers_of(scope)
        if not _names_host(scope):
            headers["Host"] = self._host
        if scope["scheme"] == "https":
            headers.setdefault(*HTTPS)
        if not self.enforce_csrf_checks and scope["method"] not in SAFE_METHODS:
            forge(headers)
        response = response_of(await self._ask(scope["method"], _target_of(scope), headers, body))
        response.asgi_request = ASGIRequest(scope, BytesIO(body or b""))
        return response


def _headers_of(scope: dict[str, Any]) -> dict[str, str]:
    found = {name.decode("latin-1").title(): value.decode("latin-1") for name, value in scope["headers"]}
    found.pop("Content-Length", None)  # the length is that of the body
    if not found.get("Cookie"):  # what Django's client says without any
        found.pop("Cookie", None)
    return found


def _names_host(scope: dict[str, Any]) -> bool:
    """Whether a test says a host, after the one that each request of Django's client has."""
    hosts = [value for name, value in scope["headers"] if name.lower() == b"host"]
    return hosts not in ([], [DEFAULT_HOST.encode()])


def _target_of(scope: dict[str, Any]) -> str:
    query = scope.get("query_string") or b""
    text = query.decode("latin-1") if isinstance(query, bytes) else str(query)
    path = quote(scope["path"], safe="/:@!$&'()*+,;=~-._") or "/"
    return f"{path}?{text}" if text else path
