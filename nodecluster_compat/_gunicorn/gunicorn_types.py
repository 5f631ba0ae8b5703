"""Name the types of what gunicorn hands over untyped: settings, sockets, its logger, a worker in the arbiter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from ..base.log import Log

if TYPE_CHECKING:
    import logging
    import socket
    from contextlib import AbstractContextManager
    from datetime import timedelta
    from io import BytesIO

__all__ = [
    "Application",
    "Create",
    "Created",
    "Environ",
    "GunicornLog",
    "GunicornWorker",
    "Headers",
    "ListeningSocket",
    "PlainRequest",
    "RequestWait",
    "Response",
    "ServerHook",
    "Settings",
    "Stream",
    "Unreader",
]

Environ: TypeAlias = dict[str, Any]
"""A WSGI environ: keys and values as PEP 3333 has them."""

Application: TypeAlias = Callable[..., Any]
"""A WSGI application, or a stand-in of ours for one."""

Headers: TypeAlias = list[tuple[str, str]]

RequestWait: TypeAlias = "AbstractContextManager[object]"
"""In which gunicorn waits for a request."""

Created: TypeAlias = "tuple[Response, Environ]"

Create: TypeAlias = "Callable[..., Created]"
"""gunicorn's ``create``, which makes the response and the environ of a request."""

ServerHook: TypeAlias = Callable[..., Any]
"""A function of the user's that is a setting of gunicorn's."""


class Settings(Protocol):
    """gunicorn's ``Config``: those of its settings that are read here."""

    accesslog: str | None
    address: list[Any]
    asgi_lifespan: str
    chdir: str
    child_exit: ServerHook
    config: str | None
    disable_redirect_access_to_syslog: bool
    enable_backlog_metric: bool
    env: Mapping[str, str]
    env_orig: MutableMapping[str, str]
    errorlog: str
    forwarded_allow_ips: list[str]
    forwarded_allow_networks: Callable[[], list[Any]]
    forwarder_headers: list[str]
    gid: int
    uid: int
    graceful_timeout: float
    header_map: str
    initgroups: bool
    is_ssl: bool
    keepalive: float
    max_requests: int
    limit_request_field_size: int
    limit_request_fields: int
    limit_request_line: int
    logconfig: str | None
    logconfig_dict: Mapping[str, Any]
    logconfig_json: str | None
    on_reload: ServerHook
    pidfile: str | None
    pre_fork: ServerHook
    proc_name: str
    reload: bool
    reload_extra_files: list[str]
    reuse_port: bool
    secure_scheme_headers: Mapping[str, str]
    settings: Mapping[str, Any]
    syslog: bool
    syslog_addr: str
    threads: int
    when_ready: ServerHook
    worker_connections: int
    workers: int

    def set(self, name: str, value: object) -> None:
        """Check a value and let it be the setting."""


class ListeningSocket(Protocol):
    """gunicorn's object around a listening socket."""

    FAMILY: int
    cfg_addr: Any
    sock: socket.socket

    def fileno(self) -> int:
        """Return its descriptor."""

    def get_backlog(self) -> int | None:
        """Return how many connections wait in the kernel."""

    def close(self) -> None:
        """Close it, and remove no file."""


class GunicornLog(Log, Protocol):
    """gunicorn's logger.

    Attributes:
        error_log, access_log: the standard library's loggers behind it.
        cfg: the settings that it looks at for each request.
    """

    cfg: Settings
    error_log: logging.Logger
    access_log: logging.Logger

    def access(self, resp: object, req: object, environ: Environ, request_time: timedelta) -> None:
        """Write the line about a request, if there is an access log."""

    def critical(self, msg: str, *args: object) -> None:
        """Log ``msg % args``."""

    def setup(self, cfg: Settings) -> None:
        """Log as these settings say."""

    def reopen_files(self) -> None:
        """Write into new files, after the old ones were renamed."""


class GunicornWorker(Protocol):
    """gunicorn's worker object, as it stands in the arbiter's ``WORKERS``."""

    aborted: bool
    booted: bool
    tmp: Any


class Stream(Protocol):
    """One request of an HTTP/2 connection, as gunicorn keeps it."""

    def get_pseudo_headers(self) -> Mapping[str, str]:
        """Return method, target, scheme and authority, by names with a colon."""

    def get_regular_headers(self) -> Headers:
        """Return the other fields, their names in small letters."""


class Unreader(Protocol):
    """gunicorn's reader of a connection, into which bytes can be put back."""

    buf: BytesIO
    sock: socket.socket
    mxchunk: int

    def read(self, size: int | None = None) -> bytes:
        """Return what was put back, or what comes next; nothing at the end of the connection."""

    def unread(self, data: bytes) -> None:
        """Put back what belongs to the next request."""


class PlainRequest(Protocol):
    """gunicorn's request: what is read of one here."""

    method: str
    uri: str
    path: str
    query: str
    version: tuple[int, int]
    headers: Headers
    scheme: str
    body: object
    proxy_protocol_info: object
    stream: Any  # of HTTP/2

    def should_close(self) -> bool:
        """Whether its connection ends with the answer."""


class Response(Protocol):
    """gunicorn's response: what is used of one here."""

    def start_response(self, status: str, headers: Headers, exc_info: object = None) -> Callable[[bytes], None]:
        """Begin the answer, as PEP 3333 has it."""
