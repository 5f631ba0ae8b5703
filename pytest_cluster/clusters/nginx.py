"""Ask an nginx that stands before a test's clusters."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import OptionError
from ..requests.client import Client
from ..requests.endpoint import Endpoint
from ..server.nginx import NginxPlace, log_of, nginx, upstream_of
from .asked import AskedCluster
from .foreign import ForeignCluster

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..requests.outgoing import RequestOptions
    from ..requests.response import Response

__all__ = ["Nginx", "nginx_before"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all


class Nginx:
    """An nginx before the clusters of a test; it ends with the test.

    Attributes:
        client: requests by way of it; ``answer.worker`` is who has answered behind it.
        host, port: where it listens.
        pid: of its master process.
    """

    def __init__(self, place: NginxPlace) -> None:
        self._place = place
        self.host: str = place.host
        self.port: int = place.port
        self.pid: int = place.pid
        self.client: Client = Client(Endpoint(place.host, place.port), lambda _: None)

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        return f"http://{self.host}:{self.port}"

    @property
    def log(self) -> str:
        """What it has written to its error log, from *notice* on."""
        return log_of(self._place)

    @property
    def access_log(self) -> str:
        """A line for each request."""
        return log_of(self._place, "access.log")

    def get(self, path: str = "/", **options: Unpack[RequestOptions]) -> Response:
        """GET *path*; *options* as for :meth:`Client.request`."""
        return self.client.get(path, **options)

    def request(self, method: str, path: str = "/", **options: Unpack[RequestOptions]) -> Response:
        """Send any request; *options* as for :meth:`Client.request`."""
        return self.client.request(method, path, **options)

    def __repr__(self) -> str:
        return f"<nginx at {self.url}>"


@contextlib.contextmanager
def nginx_before(clusters: tuple[object, ...], server: object = None) -> Iterator[Nginx]:
    """Run nginx before *clusters*: clusters, or addresses of whatever else.

    :param server: what stands in ``server { … }``, where ``http://cluster`` are all of them.
    :raises OptionError: there is nothing behind it, or that is no text.
    :raises MissingProgram: nginx is not installed.
    :raises ServiceError: it does not come up.
    """
    if not clusters:
        raise OptionError("cluster_nginx: expected one or more clusters that it stands before: cluster_nginx(cluster)")
    if server is not None and not isinstance(server, str):
        raise OptionError(f"cluster_nginx: expected server to be a text in nginx's words, got {server!r:.100}")
    addresses = [one.address if isinstance(one, AskedCluster | ForeignCluster) else one for one in clusters]
    with nginx([upstream_of(one) for one in addresses], server) as place:
        made = Nginx(place)
        try:
            yield made
        finally:
            made.client.close()
            made.client.join()
