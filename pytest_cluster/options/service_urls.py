"""Read the URLs of services that somebody else runs, as their client libraries take them."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = ["ServicePlace", "parse_service_url"]

EXAMPLES = {
    "redis": ("redis://127.0.0.1:6379/0", "unix:///run/redis.sock?db=0"),
    "postgresql": ("postgresql://user@127.0.0.1:5432/name", "postgresql://user@/name?host=/run/postgresql"),
}
SCHEMES = {
    "redis": {"redis": 6379, "rediss": 6379, "unix": 0, "valkey": 6379},
    "postgresql": {"postgresql": 5432, "postgres": 5432},
}


@dataclass(frozen=True, slots=True)
class ServicePlace:
    """Where a service listens: on a port, or at a unix socket."""

    host: str
    port: int
    path: str
    """Of its unix socket, or of the folder that this is in; empty for a port."""
    socket_file: str
    """Empty for a port."""
    env: Mapping[str, str] = field(default_factory=dict)

    def connected(self, seconds: float) -> socket.socket:
        """Return a connection to it.

        :raises OSError: nobody listens.
        """
        if not self.socket_file:
            return socket.create_connection((self.host, self.port), seconds)
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(seconds)
            connection.connect(self.socket_file)
        except BaseException:
            connection.close()
            raise
        return connection


def parse_service_url(name: str, url: str) -> ServicePlace:
    """Return where a service is.

    :param name: ``redis`` or ``postgresql``.
    :raises ValueError: that is no URL of such a service.
    """
    try:
        parts = urlsplit(url.strip())
        usual = SCHEMES[name][parts.scheme]
        port = parts.port or usual
    except (KeyError, ValueError):
        raise ValueError(f"expected {' or '.join(EXAMPLES[name])}, not {url!r:.100}") from None
    if name == "redis":
        path = unquote(parts.path) if parts.scheme == "unix" else ""
        return ServicePlace(parts.hostname or "127.0.0.1", port, path, path)
    folder = next(iter(parse_qs(parts.query).get("host", ())), "")
    host = parts.hostname or folder or "127.0.0.1"
    given = {
        "PGHOST": host,
        "PGPORT": str(port),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": unquote(parts.path.lstrip("/")),
    }
    env = {key: value for key, value in given.items() if value}
    if host.startswith("/"):
        return ServicePlace("", port, host, f"{host}/.s.PGSQL.{port}", env)
    return ServicePlace(host, port, "", "", env)
