"""Ask a cluster: requests, and the test clients that people have."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import WaitTimeout
from ..options.checks import check_seconds
from ..options.cluster_options import ClusterOptions
from ..requests.client import Client
from ..requests.endpoint import Endpoint
from ..requests.noted import MOST_NOTED, NotedRequests
from ..requests.outgoing import RequestOptions
from ..requests.response import Response
from ..requests.unanswered import find_holders
from ..server.server_process import ServerProcess
from ..waiting import evidence
from .adaptors import Adaptors
from .view import ClusterView

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..requests.async_client import AsyncClient

__all__ = ["AskedCluster"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all


class AskedCluster(Adaptors, ClusterView):
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
        :raises OptionError: that is no number of seconds.
        """
        if timeout is not None:
            check_seconds("timeout", timeout, can_be_zero=False)
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

    def _own_host(self) -> str:
        return self.url.partition("://")[2] if self.host else "localhost"

    def _own_application(self) -> object:
        from ..requests.for_flask import import_application

        return import_application(self.options.app, self.server.pythonpath)

    def _explain(self, error: WaitTimeout, with_stacks: bool) -> WaitTimeout:
        """Name the process that has a request, in its time-out: at once, for it may go on when the test does."""
        if self._closed:
            return error
        unanswered = find_holders(self.server, self.workers)
        return WaitTimeout(evidence(f"{error}: {unanswered}", self._evidence() if with_stacks else []), unanswered)
