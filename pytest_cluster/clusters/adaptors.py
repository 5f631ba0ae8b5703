"""Let the test clients that people have ask a cluster: Flask's, Django's, and whatever takes a WSGI application."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..requests.client import Client
from ..requests.response import Response
from ..requests.wsgi import WSGIFront

if TYPE_CHECKING:
    from flask.testing import FlaskClient

__all__ = ["Adaptors"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all


class Adaptors(ABC):
    """The clients of others, for a server that has clients of our own."""

    @abstractmethod
    def new_client(self) -> Client:
        """Return another client: another person, with cookies of their own."""

    @abstractmethod
    def _own_host(self) -> str:
        """Return what the header field ``Host`` says."""

    @abstractmethod
    def _own_application(self) -> object:
        """Return the application that is served, as this process has it.

        :raises OptionError: it cannot be had.
        """

    @property
    def wsgi_app(self) -> WSGIFront:
        """A WSGI application that lets the cluster answer: for any client that takes one.

        ``werkzeug.test.Client(cluster.wsgi_app)``, ``webtest.TestApp(cluster.wsgi_app)``.
        """
        return WSGIFront(_asks_as(self.new_client()))

    def flask_client(self, app: object = None, *, use_cookies: bool = True, **options: Any) -> FlaskClient:
        """Return Flask's own test client, of the application's class, whose requests go to the cluster.

        ``session_transaction``, and ``flask.session`` and ``flask.request`` after a request of a ``with`` block, work
        where this process and the workers have the same key and session interface.  What was in ``flask.g`` is in the
        worker only, as is the exception behind a 500.  ``answer.worker`` is who has answered.

        :param app: the application as an object (default: the cluster's, imported in this process).
        :param use_cookies: whether it keeps cookies.
        :param options: what the application's client class takes.
        :raises OptionError: there is no Flask application.
        :raises MissingLibrary: Flask is not installed.
        """
        from ..requests.for_flask import flask_client

        found = self._own_application() if app is None else app
        return flask_client(found, self.wsgi_app, use_cookies, options)

    def django_client(self, **defaults: Any) -> Any:  # noqa: ANN401 - Django has no types
        """Return ``django.test.Client``, whose requests go to the cluster.

        ``login``, ``force_login`` and ``session`` work where workers find the session: in a database that is shared and
        not in a transaction, or in signed cookies.  ``response.templates`` and ``context`` are known in the worker
        only, and say so.

        :param defaults: what Django's client takes; with ``SERVER_NAME="testserver"`` the workers see that host.
        :raises MissingLibrary: Django is not installed.
        """
        from ..requests.for_django import django_client

        return django_client(_asks_as(self.new_client()), self._own_host(), defaults)

    def django_async_client(self, **defaults: Any) -> Any:  # noqa: ANN401 - Django has no types
        """Return ``django.test.AsyncClient``, whose requests go to the cluster; otherwise as :meth:`django_client`.

        :param defaults: what Django's client takes.
        :raises MissingLibrary: Django is not installed.
        """
        from ..requests.async_client import AsyncClient
        from ..requests.for_django_async import django_async_client

        client = self.new_client()
        awaited = AsyncClient(client)

        async def ask(method: str, path: str, headers: dict[str, str], body: bytes | None) -> Response:
            client.forget()  # the outer client keeps them
            return await awaited.request(method, path, headers=headers, body=body)

        return django_async_client(ask, self._own_host(), defaults)


def _asks_as(client: Client) -> Callable[[str, str, dict[str, str], bytes | None], Response]:
    """Return what sends a request of *client* that has its cookies already."""

    def ask(method: str, path: str, headers: dict[str, str], body: bytes | None) -> Response:
        client.forget()  # the outer client keeps them
        return client.request(method, path, headers=headers, body=body)

    return ask
