"""Small savings on gunicorn's request path that nobody can observe.

* the head of a response and its first piece of body leave in one ``send`` (gunicorn: two);
* a setting is looked up once (gunicorn: through three calls at each of some fifteen uses in a request);
* the ``Date`` of a response is formatted once a second.

What is sent, and in which order, is gunicorn's to the byte.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from gunicorn import util
from gunicorn.http.wsgi import Response

__all__ = ["OneSendResponse", "cache_date", "cache_settings", "with_one_send"]

_JOIN_BYTES: Final = 64 * 1024  # above, copying costs more than a second send


class OneSendResponse(Response):  # type: ignore[misc]  # gunicorn has no type hints
    """gunicorn's response whose head waits for the first piece of body, within one ``write``."""

    def write(self, arg: bytes) -> None:
        """Extends gunicorn's: what the first ``write`` sends goes out together, also when it raises."""
        if self.headers_sent:
            super().write(arg)
            return
        sock: Any = self.sock
        held = _Held()
        self.sock: Any = held
        try:
            super().write(arg)
        finally:
            self.sock = sock
            held.send_to(sock)


class _Held:
    """Stands in for the socket during the first ``write``."""

    __slots__ = ("_parts", "_size")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def sendall(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)

    def send_to(self, sock: Any) -> None:
        if self._size <= _JOIN_BYTES:
            self._parts = [b"".join(self._parts)] if self._parts else []
        for part in self._parts:
            sock.sendall(part)


def with_one_send(application: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Return ``application``, answered through :class:`OneSendResponse`.

    gunicorn makes the response and passes its ``start_response`` to the application; before 26.2 there is no
    other place to choose its class.  HTTP/2 responses are of another class and stay what they are.
    """

    def call(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        response = start_response.__self__
        if type(response) is Response:
            response.__class__ = OneSendResponse
        return application(environ, start_response)

    return call


class _CachedSettings:
    """Mixed into gunicorn's ``Config``: a setting that was read once is an ordinary attribute."""

    def __getattr__(self, name: str) -> Any:
        value = super().__getattr__(name)  # type: ignore[misc]  # Config's, in front of which this is mixed
        self.__dict__[name] = value
        return value

    def set(self, name: str, value: Any) -> None:
        """Change a setting, also after it was read."""
        self.__dict__.pop(name, None)
        super().set(name, value)  # type: ignore[misc]


def cache_settings(cfg: Any) -> None:
    """Let the settings of this process be looked up once each."""
    if not isinstance(cfg, _CachedSettings):
        cfg.__class__ = type("Config", (_CachedSettings, type(cfg)), {})


def cache_date() -> None:
    """Let gunicorn's ``http_date`` format the present once a second; in this process, for good."""
    original: Callable[[float | None], str] = util.http_date
    second, text = -1, ""

    def http_date(timestamp: float | None = None) -> str:
        nonlocal second, text
        if timestamp is not None:
            return original(timestamp)
        now = int(time.time())
        if now != second:
            second, text = now, original(now)
        return text

    util.http_date = http_date
