"""Represent a response: the attributes that requests, httpx, Flask and Django have, and the worker that answered."""

from __future__ import annotations

import http.client
import io
import json
from dataclasses import dataclass
from functools import cached_property
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, NoReturn

from ..errors import MissingLibrary
from ..values import Json
from ..wire.records import HEADER, PAGE_HEADER

__all__ = ["Response"]

SHOWN_BYTES = 200
REDIRECTS = (301, 302, 303, 307, 308)
ELSEWHERE = {
    "encoding": "text, which is decoded as content_type says",
    "get_data": "content, or text",
    "getvalue": "content",
    "has_header": "headers",
    "is_error": "ok",
    "is_json": "content_type",
    "is_success": "ok",
    "iter_bytes": "content",
    "iter_content": "content",
    "iter_lines": "text.splitlines()",
    "iter_text": "text",
    "links": "headers['Link']",
    "mimetype": "content_type",
    "raw": "body",
    "reason_phrase": "reason",
    "request": "url, for what was asked for",
    "response": "content",
    "set_cookie": "cookies",
    "streaming_content": "content",
}
"""What other clients' answers have, and what it is here."""


@dataclass(frozen=True)
class Response:
    """An answer, read to its end.

    Attributes:
        status: the status code; ``status_code`` is the same.
        headers: the header fields; names are looked up without regard to case.
        body: as it came; :attr:`content` is without its compression.
        url: the path that was asked for, with its query; of a redirect that was followed, the last one.
        history: the redirects that have led here, the first one first.
        reason: the text beside the status code.
    """

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    url: str = ""
    history: tuple[Response, ...] = ()
    reason: str = ""

    @property
    def status_code(self) -> int:
        """The status code."""
        return self.status

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status < 400

    @property
    def is_redirect(self) -> bool:
        """Whether it leads elsewhere."""
        return self.status in REDIRECTS and "Location" in self.headers

    @property
    def location(self) -> str | None:
        """Where it leads, as the header says it."""
        return self.headers.get("Location")

    @property
    def worker(self) -> int | None:
        """The id of the worker that has answered; ``None`` when none under test did."""
        value = self.headers.get(HEADER, "") or self.headers.get(PAGE_HEADER, "")
        return int(value) if value.isdigit() else None

    @property
    def is_page_of_server(self) -> bool:
        """Whether the server itself has answered: the application has raised, or it was never asked."""
        return PAGE_HEADER in self.headers

    @property
    def content_type(self) -> str:
        """The header field ``Content-Type``; empty where there is none."""
        return self.headers.get("Content-Type", "")

    @cached_property
    def content(self) -> bytes:
        """The body without its ``Content-Encoding``.

        :raises MissingLibrary: it is compressed, and urllib3 is not installed.
        """
        encoding = self.headers.get("Content-Encoding", "identity").lower()
        return self.body if encoding == "identity" or not self.body else _decoded(self.body, self.headers)

    @property
    def data(self) -> bytes:
        """The same as :attr:`content`, as Flask calls it."""
        return self.content

    @property
    def text(self) -> str:
        """The content in the character set that its type names, otherwise UTF-8."""
        charset = self.headers.get_content_charset("utf-8")
        try:
            return self.content.decode(charset, errors="replace")
        except LookupError:  # there is no such character set
            return self.content.decode(errors="replace")

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that this answer sets, by name."""
        found: dict[str, str] = {}
        for line in self.headers.get_all("Set-Cookie", []):
            try:
                found.update({name: one.value for name, one in SimpleCookie(line).items()})
            except CookieError:  # one that cannot be is none
                continue
        return found

    def json(self) -> Json:
        """Return the content as JSON.

        :raises ValueError: it is none; the sentence shows what it is.
        """
        try:
            return json.loads(self.content)
        except ValueError as error:
            raise ValueError(f"the answer is no JSON ({error}): {self!r}") from None

    def get_json(self) -> Json:
        """Return the content as JSON, as Flask calls it."""
        return self.json()

    def raise_for_status(self) -> Response:
        """Return this answer.

        :raises AssertionError: its status is 400 or above.
        """
        if not self.ok:
            raise AssertionError(f"{self.url or 'the request'} was answered {self!r}")
        return self

    if not TYPE_CHECKING:  # where a name that is not there is an error already

        def __getattr__(self, name: str) -> NoReturn:
            hint = f" (say {ELSEWHERE[name]})" if name in ELSEWHERE else ""
            raise AttributeError(f"an answer has no attribute {name!r}{hint}", name=name, obj=self)

    def __repr__(self) -> str:
        who = "nobody under test" if self.worker is None else f"worker {self.worker}"
        return f"<{self.status} from {who}: {self.body[:SHOWN_BYTES]!r}{'…' if len(self.body) > SHOWN_BYTES else ''}>"


def _decoded(body: bytes, headers: http.client.HTTPMessage) -> bytes:
    try:
        from urllib3 import HTTPResponse
    except ImportError:
        raise MissingLibrary("reading a compressed answer", "urllib3") from None
    fields = dict(headers.items())
    return HTTPResponse(io.BytesIO(body), headers=fields, preload_content=False).read(decode_content=True)
