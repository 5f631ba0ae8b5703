"""Read the address of a server that somebody else runs."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

__all__ = ["ServerURL", "parse_server_url"]

PORTS = {"http": 80, "https": 443}
WANTED = "expected the address of a server, as http://127.0.0.1:8000"


@dataclass(frozen=True, slots=True)
class ServerURL:
    """Where a server is."""

    scheme: str
    """``http`` or ``https``."""
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_server_url(text: str) -> ServerURL:
    """Return the address that *text* is.

    :raises ValueError: it is none, or has more than a server's address: a path, a query, a user.
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{WANTED}, not {text!r:.100} ({error})") from None
    more = parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None
    if parts.scheme not in PORTS or not parts.hostname or more or port == 0:
        raise ValueError(f"{WANTED}, not {text!r:.100}")
    return ServerURL(parts.scheme, parts.hostname, port or PORTS[parts.scheme])
