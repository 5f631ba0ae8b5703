"""Add issued keys to the answers of a WSGI application, and strip them from its requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .issued import IssuingKey

__all__ = ["issued_wsgi"]

_Headers = list[tuple[str, str]]


def issued_wsgi(
    application: Callable[..., Iterable[bytes]], keys: list[IssuingKey], worker_id: int
) -> Callable[..., Iterable[bytes]]:
    """Return ``application`` with the cookies and suffixes of ``keys``.

    Args:
        application: any WSGI callable.
        keys: that issue something.
        worker_id: of this worker.
    """
    fields = {f"HTTP_{key.field.upper().replace('-', '_')}": key for key in keys if key.field is not None}
    said = {key.field: key for key in keys if key.field is not None}

    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve a request with what the keys add to its answer, and without what they had added."""
        for name, key in fields.items():
            if name in environ:
                environ[name] = key.heard(environ[name])
        sent, is_secure = environ.get("HTTP_COOKIE", ""), environ.get("wsgi.url_scheme") == "https"
        added = [key.added(sent, worker_id, is_secure=is_secure) for key in keys]
        cookies = [("Set-Cookie", cookie) for cookie in added if cookie is not None]

        def start(status: str, headers: _Headers, *rest: Any) -> Any:  # noqa: ANN401 - as WSGI has it
            headers = [*(_said(name, value, said, worker_id) for name, value in headers), *cookies]
            return start_response(status, headers, *rest)

        return application(environ, start)

    return call


def _said(name: str, value: str, keys: dict[str, IssuingKey], worker_id: int) -> tuple[str, str]:
    key = keys.get(name.lower())
    return name, (value if key is None else key.said(value, worker_id))
