"""Make Django's own test client ask the cluster: ``force_login``, sessions, ``assertRedirects``, on N workers."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import InAnotherProcess, MissingLibrary
from .wsgi import Environ, request_of

if TYPE_CHECKING:
    from .response import Response

__all__ = [
    "DEFAULT_HOST",
    "SAFE_METHODS",
    "check_sessions",
    "django_client",
    "forge",
    "response_of",
    "unseen_databases",
]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")
DEFAULT_HOST = "testserver"
"""The host of a request of Django's client that names none."""
LOCAL_CACHES = ("locmem.LocMemCache", "dummy.DummyCache")


def unseen_databases() -> dict[str, str]:
    """Say of each of Django's databases that this process has open why workers do not see what is written there.

    :return: by the alias; a database that they see is left out.
    """
    from django.db import connections

    found = {}
    for connection in connections.all(initialized_only=True):
        name = str(connection.settings_dict.get("NAME", ""))
        if connection.vendor == "sqlite" and (":memory:" in name or "mode=memory" in name):
            found[connection.alias] = "is in the memory of this process"
        elif connection.in_atomic_block:
            found[connection.alias] = "is in a transaction of this process"
    return found


def django_client(ask: Callable[..., Response], host: str, defaults: dict[str, Any]) -> Any:  # noqa: ANN401 - Django has no types
    """Return a ``django.test.Client`` whose requests go where *ask* sends them.

    :param host: the header field ``Host``, unless *defaults* has a ``SERVER_NAME``.
    :param defaults: what Django's client takes.
    :raises MissingLibrary: Django is not installed.
    """
    try:
        from django.test import Client
    except ImportError:
        raise MissingLibrary("cluster.django_client()", "django") from None

    class ClusterDjangoClient(Client):  # type: ignore[misc]
        """Django's client, whose requests go to the cluster."""

        def __init__(self, enforce_csrf_checks: bool = False, *args: Any, **more: Any) -> None:
            super().__init__(enforce_csrf_checks, *args, **more)
            self.handler = _Handler(ask, "" if "SERVER_NAME" in more else host, enforce_csrf_checks=enforce_csrf_checks)

        def _login(self, *args: Any, **kwargs: Any) -> None:
            check_sessions()
            super()._login(*args, **kwargs)
            check_sessions()

    return ClusterDjangoClient(**defaults)


class _Handler:
    """Answers a WSGI environment with a response of Django's, as its ``ClientHandler`` does.

    :param enforce_csrf_checks: an attribute as of ``ClientHandler``, which leaves the check out without it: requests
        are given a CSRF token that is right.
    """

    def __init__(self, ask: Callable[..., Response], host: str, *, enforce_csrf_checks: bool) -> None:
        self._ask = ask
        self._host = host
        self.enforce_csrf_checks = enforce_csrf_checks

    def __call__(self, environ: Environ) -> Any:  # noqa: ANN401
        from django.core.handlers.wsgi import WSGIRequest

        method, target, headers, body = request_of(environ)
        if self._host and headers["Host"] == DEFAULT_HOST and "HTTP_HOST" not in environ:
            headers["Host"] = self._host
        if not self.enforce_csrf_checks and method not in SAFE_METHODS:
            forge(headers)
        response = response_of(self._ask(method, target, headers, body))
        response.wsgi_request = WSGIRequest(dict(environ))
        return response


def forge(headers: dict[str, str]) -> None:
    """Add a token that the cookie and the form agree on: all that Django's check compares."""
    from django.conf import settings

    token = secrets.token_hex(16)
    cookies = [one for one in headers.get("Cookie", "").split("; ") if one]
    cookies = [one for one in cookies if not one.startswith(f"{settings.CSRF_COOKIE_NAME}=")]
    headers["Cookie"] = "; ".join([*cookies, f"{settings.CSRF_COOKIE_NAME}={token}"])
    name = settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-").title()
    headers.setdefault(name, token)


def response_of(answer: Response) -> Any:  # noqa: ANN401
    """Return a response of Django's for an answer: what only the worker knows says so when it is looked at."""
    response = _response_class()(answer.body, status=answer.status, reason=answer.reason or None)
    response.worker = answer.worker
    del response.headers["Content-Type"]
    for name, value in answer.headers.items():
        if name.lower() == "set-cookie":
            response.cookies.load(value)
        elif name.lower() not in ("connection", "transfer-encoding"):
            response.headers[name] = value
    return response


@cache
def _response_class() -> Any:  # noqa: ANN401
    from django.http import HttpResponse

    class ClusterHttpResponse(HttpResponse):  # type: ignore[misc]
        """An answer of a worker, as Django's test client would return it."""

        worker: int | None
        templates = property(lambda _: _KnownToTheWorker("templates"), lambda *_: None)
        context = property(lambda _: _KnownToTheWorker("context"), lambda *_: None)

        @property
        def url(self) -> str:
            """Where it leads."""
            return str(self.headers["Location"])

        @property
        def streaming_content(self) -> Iterator[bytes]:
            """The content, which has arrived as a whole."""
            return iter([self.content])

    return ClusterHttpResponse


class _KnownToTheWorker:
    """Stands for what was there when the page was rendered: nothing, until somebody looks at it.

    :param what: it is.
    """

    def __init__(self, what: str) -> None:
        self._what = what

    def __bool__(self) -> bool:
        return False  # Django's client asks that of every answer

    def _refuse(self, *_: object) -> NoReturn:
        raise InAnotherProcess(
            f"response.{self._what}: the page was rendered in a worker, and which templates and values that used is "
            "known there only; look at the text (assertContains), or test that with Django's own client"
        )

    __contains__ = __getitem__ = __iter__ = __len__ = _refuse


def check_sessions() -> None:
    """Refuse to log in where no worker would find the session.

    :raises InAnotherProcess: it is kept in this process.
    """
    from django.conf import settings

    engine = str(settings.SESSION_ENGINE)
    if engine.endswith((".db", ".cached_db")):
        for alias, why in unseen_databases().items():
            raise InAnotherProcess(
                f"force_login: the database {alias!r} {why}, so no worker finds the session there: use a "
                "TransactionTestCase or @pytest.mark.django_db(transaction=True), and a database in a file or a server"
            )
    if engine.endswith(".cache"):
        backend = str(settings.CACHES.get(settings.SESSION_CACHE_ALIAS, {}).get("BACKEND", ""))
        if backend.endswith(LOCAL_CACHES):
            raise InAnotherProcess(
                f"force_login: sessions are in the cache {backend}, which each process has for itself: use another "
                "SESSION_ENGINE or cache"
            )
