"""Ask a server that somebody else runs, as ``--cluster-url`` names it: what can be known of it from outside."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

import pytest

from ..errors import ClusterError, OptionError
from ..options.checks import check_seconds
from ..options.server_url import ServerURL
from ..requests.client import Client
from ..requests.endpoint import Endpoint
from ..requests.noted import MOST_NOTED, NotedRequests
from .adaptors import Adaptors

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..requests.async_client import AsyncClient
    from ..requests.outgoing import RequestOptions
    from ..requests.response import Response

__all__ = ["ForeignCluster", "skip_start", "skip_what_is_inside"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

CONNECT_SECONDS = 5.0


def skip_what_is_inside(what: str, url: str) -> NoReturn:
    """Skip a test that needs what only a cluster of its own has."""
    pytest.skip(f"{what} is known of a cluster that the test has started, and {url} is somebody else's (--cluster-url)")


def skip_start(url: ServerURL) -> NoReturn:
    """Skip a test that starts clusters of its own."""
    pytest.skip(f"cluster_factory starts clusters, and {url} is somebody else's (--cluster-url)")


class ForeignCluster(Adaptors):
    """A running server that is not the test's: it answers, and nothing else is known of it.

    A test that asks for more, as for its workers, is skipped with a sentence.

    Attributes:
        url: without a slash at the end.
        host, port: where it is.
        client: requests to it, each on a connection of its own; ``answer.worker`` is ``None``.
        requests: the last 1000.

    :param application: returns the application that is served, as this process has it.
    :raises ClusterError: nobody listens there.
    """

    def __init__(self, url: ServerURL, application: Callable[[], object] = lambda: None) -> None:
        self._endpoint = Endpoint(url.host, url.port, tls=url.scheme == "https")
        self.url: str = str(url)
        self.host: str = self._endpoint.host
        self.port: int = self._endpoint.port
        self.address: tuple[str, int] = (self.host, self.port)
        self.requests: NotedRequests = NotedRequests(maxlen=MOST_NOTED)
        self._clients: list[Client] = []
        self._application = application
        self._check()
        self.client: Client = self.new_client()

    def new_client(self) -> Client:
        """Return another client: another person, with cookies of their own."""
        client = Client(self._endpoint, lambda _: None, note=self.requests.append)
        self._clients.append(client)
        return client

    def async_client(self) -> AsyncClient:
        """Return a client whose methods are awaited, in asyncio."""
        from ..requests.async_client import AsyncClient

        return AsyncClient(self.new_client())

    def get(self, path: str = "/", **options: Unpack[RequestOptions]) -> Response:
        """GET *path* on a connection of its own; *options* as for :meth:`Client.request`."""
        return self.client.get(path, **options)

    def request(self, method: str, path: str = "/", **options: Unpack[RequestOptions]) -> Response:
        """Send any request on a connection of its own; *options* as for :meth:`Client.request`."""
        return self.client.request(method, path, **options)

    def connect(self, timeout: float | None = None) -> socket.socket:
        """Return a new connection to the server; the caller closes it.

        :param timeout: of the socket, in seconds (default: 10).
        :raises OptionError: that is no number of seconds.
        """
        if timeout is not None:
            check_seconds("timeout", timeout, can_be_zero=False)
        return self._endpoint.connect(timeout)

    def close(self) -> None:
        """Cut off what the test's clients still do; the server goes on.  The fixture does this."""
        for client in self._clients:
            client.close()
            client.join()

    def _own_host(self) -> str:
        return self.url.partition("://")[2]

    def _own_application(self) -> object:
        found = self._application()
        if found is None:
            raise OptionError(
                "flask_client: which application? Say app='package.module:app' or use --cluster-app, or give it: "
                "flask_client(app)"
            )
        return found

    def _check(self) -> None:
        try:
            self._endpoint.connect(CONNECT_SECONDS).close()
        except OSError as error:
            raise ClusterError(f"--cluster-url: nobody answers at {self.url}: {error}") from None

    def __getattr__(self, name: str) -> NoReturn:
        """Skip the test: this is not known from outside."""
        if name.startswith("_"):
            raise AttributeError(name)
        from .cluster import Cluster

        if not hasattr(Cluster, name) and name not in ("faults", "messages", "primary", "options", "server"):
            raise AttributeError(f"a cluster has no {name!r}")
        skip_what_is_inside(f"cluster.{name}", self.url)

    def __repr__(self) -> str:
        return f"<somebody else's server at {self.url}>"
