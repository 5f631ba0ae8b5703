"""Make Flask's own test client ask the cluster: its methods, its sessions, its answers, on N workers."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..errors import MissingLibrary, OptionError
from ..wire.records import HEADER, PAGE_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.testing import FlaskClient

    from .wsgi import Environ, WSGIFront

__all__ = ["flask_client", "import_application"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all


PRESERVE = "werkzeug.debug.preserve_context"
"""Where Flask's client, in a ``with`` block, has a function that takes the context of a request."""


def flask_client(app: Any, front: WSGIFront, use_cookies: bool, options: dict[str, Any]) -> FlaskClient:  # noqa: ANN401
    """Return a client of *app*'s own class whose requests go to *front*.

    :param app: the Flask application, as this process has it: for sessions, and for the URL that it is at.
    :raises OptionError: it is none.
    :raises MissingLibrary: Flask is not installed.
    """
    try:
        from flask import Flask
        from flask.testing import FlaskClient
        from werkzeug.test import TestResponse
    except ImportError:
        raise MissingLibrary("cluster.flask_client()", "flask") from None
    if not isinstance(app, Flask):
        raise OptionError(
            f"flask_client: expected a Flask application, got {app!r:.100}: give the one that is inside, "
            "flask_client(app), or use werkzeug.test.Client(cluster.wsgi_app)"
        )
    client = type("ClusterFlaskClient", (_AsksCluster, app.test_client_class or FlaskClient), {"front": front})
    response = type("ClusterTestResponse", (_NamesWorker, TestResponse, app.response_class), {})
    made: FlaskClient = client(app, response, use_cookies=use_cookies, **options)
    return made


class _AsksCluster:
    """What Flask's client does otherwise here: its requests go to the cluster."""

    front: WSGIFront
    application: Any
    _cookies: Any
    _add_cookies_to_wsgi: Callable[[Environ], None]

    def run_wsgi_app(self, environ: Environ, buffered: bool = False) -> tuple[Iterable[bytes], str, Any]:
        """Run the request where the workers are; the application here is asked for nothing else."""
        here, self.application = self.application, self.front
        try:
            answer: tuple[Iterable[bytes], str, Any] = super().run_wsgi_app(environ, buffered)  # type: ignore[misc]
        finally:
            self.application = here
        if PRESERVE in environ:
            environ[PRESERVE](self._context_of(environ))
        return answer

    @contextlib.contextmanager
    def _context_of(self, environ: Environ) -> Iterator[None]:
        """Stand in for the context that the worker had: the request, and the session of the cookies of now."""
        with self.application.request_context(self._with_cookies(environ)):
            yield

    def _with_cookies(self, environ: Environ) -> Environ:
        found = {name: value for name, value in environ.items() if name != "HTTP_COOKIE"}
        if self._cookies is not None:
            self._add_cookies_to_wsgi(found)
        return found


class _NamesWorker:
    """What an answer has besides Flask's: the worker that has given it."""

    headers: Any

    @property
    def worker(self) -> int | None:
        """The id of the worker that has answered."""
        value = self.headers.get(HEADER) or self.headers.get(PAGE_HEADER, "")
        return int(value) if value.isdigit() else None


def import_application(name: str | None, folders: str) -> object:
    """Return the application that *name* (``module:name``, or ``module:factory()``) means, in this process.

    :param folders: where a server imports it from, between commas.
    :raises OptionError: it cannot be imported here.
    """
    if name is None:
        raise OptionError("flask_client: the cluster runs a script: give the application, flask_client(app)")
    module, _, attribute = name.partition(":")
    former = list(sys.path)
    sys.path[:0] = [folder for folder in folders.split(",") if folder and folder not in former]
    try:
        found = getattr(importlib.import_module(module), attribute.removesuffix("()") or "application")
        return found() if attribute.endswith("()") else found
    except (ImportError, AttributeError, TypeError) as error:
        raise OptionError(
            f"flask_client: this process cannot have {name} ({error}): give it, flask_client(app)"
        ) from None
    finally:
        sys.path[:] = former
