"""Define the keys that the server puts into answers, so that no application has to: a cookie, a suffix.  Pure.

As a load balancer does.  The worker that answers puts its id there, so a session lives where it was made.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Final, Literal, Protocol

from ..errors import SettingsError
from .head import RequestHead
from .keys import Found, Key, checked_name

__all__ = ["IssuedField", "IssuingKey", "StickyCookie"]

SameSite = Literal["Lax", "Strict", "None"]

_SUFFIXED: Final = re.compile(r"(.+)\.([1-9][0-9]{0,9})", re.DOTALL)
_ID: Final = re.compile(r"[1-9][0-9]{0,9}")
_SIGNATURE_DIGITS: Final = 32
_PLAIN: Final = re.compile(r"[!-:<-~]+")


class IssuingKey(Key, Protocol):
    """A key whose values are made here."""

    def heard(self, value: str) -> str:
        """Return the value of a field of a request as the application is to see it."""

    def said(self, value: str, worker_id: int) -> str:
        """Return the value of a field of an answer as the client is to see it."""

    def added(self, cookies: str, worker_id: int, *, is_secure: bool) -> str | None:
        """Return a ``Set-Cookie`` that an answer needs; ``None`` where it needs none."""

    @property
    def field(self) -> str | None:
        """The name of the field that it changes, in small letters; ``None`` where it changes none."""


class _Secret:
    of_this_server: bytes | None = None


def _secret_of_this_server() -> bytes:
    """Return what the cookies of one server are signed with; made in the primary, inherited by its workers."""
    if _Secret.of_this_server is None:
        _Secret.of_this_server = secrets.token_bytes(32)
    return _Secret.of_this_server


def _checked_secret(secret: object) -> bytes:
    """Return what is signed with; an empty one, as of a variable that is not set, would let anybody sign.

    Raises:
        SettingsError: nobody should sign with that.
    """
    if not isinstance(secret, str | bytes):
        raise SettingsError(
            f"expected secret to be text, bytes, or None for one of this server, got {type(secret).__name__}"
        )
    if not secret:
        raise SettingsError("expected a secret that nobody can guess, or None for one of this server, got an empty one")
    return secret.encode() if isinstance(secret, str) else secret


class StickyCookie:
    """A cookie of ours that names the worker, signed: ``NODECLUSTER=3.5f2b…; Path=/; HttpOnly; SameSite=Lax``.

    A cookie that is forged, or from another server, or of a worker that is gone, counts as none: the answer brings a
    new one.  Of several with its name, the first that is signed by this server counts.

    Args:
        name: of the cookie.
        secret: that it is signed with; ``None`` for one that this server makes when it starts.
        same_site: as in RFC 6265bis; ``"None"`` makes it ``Secure``.
        secure: whether it is ``Secure``; ``None``: where the request came by https.
        max_age: seconds that clients keep it; ``None``: until they are closed.
        path: where it is sent.

    Raises:
        SettingsError: what no cookie can be.
    """

    needs_fields = True
    hint: bytes | None = None
    field: str | None = None

    def __init__(
        self,
        name: str = "NODECLUSTER",
        *,
        secret: str | bytes | None = None,
        same_site: SameSite = "Lax",
        secure: bool | None = None,
        max_age: int | None = None,
        path: str = "/",
    ) -> None:
        self.name = checked_name(name, "StickyCookie")
        if same_site not in ("Lax", "Strict", "None"):
            raise SettingsError(f'expected same_site to be "Lax", "Strict" or "None", got {same_site!r}')
        if not path.startswith("/") or _PLAIN.fullmatch(path) is None:
            raise SettingsError(f'expected path to be one of a cookie, as "/", got {path!r}')
        if max_age is not None and (type(max_age) is not int or max_age <= 0):
            raise SettingsError(f"expected max_age to be seconds above 0, or None, got {max_age!r}")
        if secure is False and same_site == "None":
            raise SettingsError('expected secure=True with same_site="None", without which browsers refuse the cookie')
        self._secret = _secret_of_this_server() if secret is None else _checked_secret(secret)
        self._secure = True if same_site == "None" else secure
        age = "" if max_age is None else f"; Max-Age={max_age}"
        self._attributes = f"; Path={path}{age}; HttpOnly; SameSite={same_site}"

    def find(self, head: RequestHead) -> Found:
        """See :class:`~nodecluster_compat.routing.keys.Key`."""
        return next(self._valid(head.cookies(self.name)), None)

    def heard(self, value: str) -> str:
        """See :class:`IssuingKey`."""
        return value

    def said(self, value: str, worker_id: int) -> str:
        """See :class:`IssuingKey`."""
        return value

    def added(self, cookies: str, worker_id: int, *, is_secure: bool) -> str | None:
        """See :class:`IssuingKey`: the client has no cookie, or that of another worker."""
        fields = cookies.replace(",", ";").encode("latin-1", "replace")  # gunicorn puts a comma between two of them
        if self.find(RequestHead(b"GET / HTTP/1.1\nCookie:" + fields)) == worker_id:
            return None
        secure = "; Secure" if self._secure or (self._secure is None and is_secure) else ""
        return f"{self.name}={self.value(worker_id)}{self._attributes}{secure}"

    def value(self, worker_id: int) -> str:
        """Return what the cookie of a worker says."""
        signature = hmac.new(self._secret, f"{self.name}={worker_id}".encode(), sha256)
        return f"{worker_id}.{signature.hexdigest()[:_SIGNATURE_DIGITS]}"

    def _valid(self, values: Iterable[str]) -> Iterator[int]:
        """Return the workers that cookies of ours name, among whatever has their name."""
        for value in values:
            number = value.partition(".")[0]
            if _ID.fullmatch(number) is not None:
                expected = self.value(int(number)).encode()
                if hmac.compare_digest(expected, value.encode("utf-8", "replace")):
                    yield int(number)


class IssuedField:
    """A field that the application makes in an answer and clients send back, as MCP's ``Mcp-Session-Id``.

    Clients see it with the worker's id after a dot; the application sees it as it has made it.

    Args:
        name: of the field.
    """

    needs_fields = True
    hint: bytes | None = None

    def __init__(self, name: str) -> None:
        self.name = checked_name(name, "IssuedField")
        self.field: str | None = name.lower()

    def find(self, head: RequestHead) -> Found:
        """See :class:`~nodecluster_compat.routing.keys.Key`."""
        match = _SUFFIXED.fullmatch(head.field(self.name) or "")
        return None if match is None else int(match[2])

    def heard(self, value: str) -> str:
        """See :class:`IssuingKey`."""
        match = _SUFFIXED.fullmatch(value)
        return value if match is None else match[1]

    def said(self, value: str, worker_id: int) -> str:
        """See :class:`IssuingKey`."""
        return f"{value}.{worker_id}"

    def added(self, cookies: str, worker_id: int, *, is_secure: bool) -> str | None:
        """See :class:`IssuingKey`."""
        return None
