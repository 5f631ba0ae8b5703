"""Keep the cookies of a client, as a browser does: the jar of Python's ``http.cookiejar``."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator, Mapping, MutableMapping
from http.cookiejar import Cookie, CookieJar
from urllib.request import Request

__all__ = ["Cookies"]


class Cookies(MutableMapping[str, str]):
    """The cookies of one client, by name; from any thread.

    Attributes:
        jar: the jar of ``http.cookiejar``, with domains, paths and ages.
    """

    def __init__(self) -> None:
        self.jar: CookieJar = _Jar()

    def set(self, name: str, value: str, *, domain: str = "", path: str = "/") -> None:
        """Set a cookie for *path* and below.

        :param domain: where it goes (default: wherever the client goes; an answer may replace or delete it).
        """
        self.jar.set_cookie(_cookie(name, value, domain, path))

    def taken(self, url: str, headers: http.client.HTTPMessage) -> None:
        """Take what an answer from *url* sets."""
        if "Set-Cookie" in headers:
            self.jar.extract_cookies(_Answer(headers), _asked(url))  # type: ignore[arg-type]  # it calls info() only

    def header(self, url: str, more: Mapping[str, str] | None = None) -> str:
        """Return the header field ``Cookie`` for a request to *url*; empty where there is nothing to send.

        :param more: cookies of this request alone; they replace those of the same name.
        """
        request = _asked(url)
        self.jar.add_cookie_header(request)
        own = more or {}
        sent = [part for part in (request.get_header("Cookie") or "").split("; ") if part]
        kept = [part for part in sent if part.partition("=")[0] not in own]
        return "; ".join([*kept, *(f"{name}={value}" for name, value in own.items())])

    def clear(self) -> None:
        """Forget all."""
        self.jar.clear()

    def __getitem__(self, name: str) -> str:
        found = [one.value or "" for one in self.jar if one.name == name]
        if not found:
            raise KeyError(f"no cookie {name!r}; there are {sorted(self) or 'none'}")
        return found[-1]

    def __setitem__(self, name: str, value: str) -> None:
        self.set(name, value)

    def __delitem__(self, name: str) -> None:
        found = [one for one in self.jar if one.name == name]
        if not found:
            raise KeyError(name)
        for one in found:
            self.jar.clear(one.domain, one.path, one.name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(one.name for one in self.jar))

    def __len__(self) -> int:
        return len({one.name for one in self.jar})

    def __repr__(self) -> str:
        return f"<cookies {dict(self)}>"


class _Jar(CookieJar):
    """A jar whose cookies for no domain are each host's own: one of their name and path takes their place."""

    def set_cookie(self, cookie: Cookie) -> None:
        for one in [one for one in self if _is_instead(cookie, one)]:
            super().clear(one.domain, one.path, one.name)
        super().set_cookie(cookie)

    def clear(self, domain: str | None = None, path: str | None = None, name: str | None = None) -> None:
        """Clear all, a domain, a path, or one cookie, as the jar does where an answer deletes it."""
        if domain and path is not None and name is not None:
            with contextlib.suppress(KeyError):
                super().clear("", path, name)
        super().clear(domain, path, name)


def _is_instead(new: Cookie, old: Cookie) -> bool:
    """Whether *new* is for the same as *old*, and one of them was for no domain."""
    return (new.name, new.path) == (old.name, old.path) and not (new.domain and old.domain)


class _Answer:
    """What the jar reads of an answer."""

    def __init__(self, headers: http.client.HTTPMessage) -> None:
        self._headers = headers

    def info(self) -> http.client.HTTPMessage:
        return self._headers


def _asked(url: str) -> Request:
    return Request(url)  # noqa: S310 - nothing is opened: the jar reads host and path


def _cookie(name: str, value: str, domain: str, path: str) -> Cookie:
    return Cookie(
        0, name, value, None, False, domain, bool(domain), domain.startswith("."), path, bool(path), False, None,
        True, None, None, {},
    )  # fmt: skip
