"""Ask a cluster: requests, and the test clients that people have."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import WaitTimeout
from ..options.cluster_options import ClusterOptions
from ..requests.client import Client
from ..requests.endpoint import Endpoint
from ..requests.noted import MOST_NOTED, NotedRequests
from ..requests.outgoing import RequestOptions
from ..requests.response import Response
from ..requests.unanswered import find_holders
from ..requests.wsgi import WSGIFront
from ..server.launcher import ServerProcess
from ..waiting import evidence
from .view import ClusterView

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from typing_extensions import Unpack

    from ..requests.async_client import AsyncClient

__all__ = ["AskedCluster"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all


class AskedCluster(ClusterView):
    """The half of a cluster that answers.

    Attributes:
        client: requests to it, each on a connection of its own.
        requests: the last 1000 that any of its clients has sent, with what has become of them.
        on_client: called with each new client.
    """

    def __init__(self, options: ClusterOptions, server: ServerProcess, endpoint: Endpoint) -> None:
        super().__init__(options, server, endpoint)
        self._closed = False
        self._clients: list[Client] = []
        self.requests: NotedRequests = NotedRequests(maxlen=MOST_NOTED)
        self.on_client: Callable[[Client], object] = lambda _: None
        self.client: Client = self.new_client()

    def get(self, path: str = "/", **options: Unpack[RequestOptions]) -> Response:
        """GET *path* on a connection of its own; *options* as for :meth:`Client.request`."""
        return self.client.get(path, **options)

    def request(self, method: str, path: str = "/", **options: Unpack[RequestOptions]) -> Response:
        """Send any request on a connection of its own; *options* as for :meth:`Client.request`."""
        return self.client.request(method, path, **options)

    def connect(self, timeout: float | None = None) -> socket.socket:
        """Return a new connection to the server, with TLS where it has that; the caller closes it.

        :param timeout: of the socket, in seconds (default: 10).
        """
        return self._endpoint.connect(timeout)

    # Clients

    def new_client(self) -> Client:
        """Return another client: another person, with cookies of their own."""
        tallies, note = self.server.tallies, self.requests.append
        client = Client(self._endpoint, tallies.seen, self._listening, self._explain, note)
        self._clients.append(client)
        self.on_client(client)
        return client

    def forget_clients(self) -> None:
        """Let the next test begin with one client without cookies.  The fixture does this."""
        for client in self._clients[1:]:
            client.close()
        del self._clients[1:]
        self.client.forget()

    def async_client(self) -> AsyncClient:
        """Return a client whose methods are awaited, in asyncio; another person, too."""
        from ..requests.async_client import AsyncClient

        return AsyncClient(self.new_client())

    @property
    def wsgi_app(self) -> WSGIFront:
        """A WSGI application that lets the cluster answer: for any client that takes one.

        ``werkzeug.test.Client(cluster.wsgi_app)``, ``webtest.TestApp(cluster.wsgi_app)``.
        """
        return WSGIFront(self._asks_as(self.new_client()))

    def flask_client(self, app: object = None, *, use_cookies: bool = True, **options: Any) -> FlaskClient:
        """Return Flask's own test client, of the application's class, whose requests go to the cluster.

        ``session_transaction`` works where this process and the workers have the same key and session interface.
        ``flask.g``, ``flask.session`` and the like after a request are in the worker only, as is the exception behind a
        500.  ``answer.worker`` is who has answered.

        :param app: the application as an object (default: the cluster's, imported in this process).
        :param use_cookies: whether it keeps cookies.
        :param options: what the application's client class takes.
        :raises OptionError: there is no Flask application.
        :raises MissingLibrary: Flask is not installed.
        """
        from ..requests.for_flask import flask_client, import_application

        found = import_application(self.options.app, self.server.pythonpath) if app is None else app
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

        host = f"{self.host}:{self.port}" if self.host else "localhost"
        return django_client(self._asks_as(self.new_client()), host, defaults)

    def _asks_as(self, client: Client) -> Callable[[str, str, dict[str, str], bytes | None], Response]:
        """Return what sends a request of *client* that has its cookies already."""

        def ask(method: str, path: str, headers: dict[str, str], body: bytes | None) -> Response:
            client.forget()  # the outer client keeps them
            return client.request(method, path, headers=headers, body=body)

        return ask

    def _explain(self, error: WaitTimeout, with_stacks: bool) -> WaitTimeout:
        """Name the process that has a request, in its time-out: at once, for it may go on when the test does."""
        if self._closed:
            return error
        unanswered = find_holders(self.server, self.workers)
        return WaitTimeout(evidence(f"{error}: {unanswered}", self._evidence() if with_stacks else []), unanswered)
