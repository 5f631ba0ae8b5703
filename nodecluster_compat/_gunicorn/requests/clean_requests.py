"""Parse requests about which there is nothing to decide, a shorter way than gunicorn's.

Theory of operation
-------------------
A request is *clean* when everything about it that gunicorn would check, merge, drop or translate is absent: an ordinary
target, header names without underscores that occur once, none that sets a scheme or speaks of the body in any other
way than one plain ``Content-Length``.  A clean request is built straight from what gunicorn's own C parser says.  Every
other one, and whatever that parser refuses, is put back and read again by gunicorn, so its answers, errors and order of
checks are gunicorn's by construction, with what :mod:`refusals` adds: this module can only be slow, not
lax.

It is used only where gunicorn itself would use that parser (``http_parser``, no compatibility flag, no PROXY protocol)
and the parser refuses what it has to (:mod:`c_parser`); it is the same for every gunicorn that has one.

The connection loop (``handle``) and what is done with a request (``handle_request``) are gunicorn's.  Three things are
put in their way, each a subclass of gunicorn's: the parser of a connection (here), the pair that ``create`` makes
(:mod:`environs`), and the response (:mod:`responses`).  Rejected: a loop of our own around all of it.  It would save
a tenth of a request, and would have to follow each version of gunicorn in what it does about errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final

from gevent import getcurrent
from gunicorn.http import message
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader

from ...runtime.idle_limit import IdleLimit
from .body_reader import BodyReader
from .c_parser import has_lax_parser
from .environs import use_short_create
from .request_waits import WaitingParser, tell_waits

if TYPE_CHECKING:
    from ..gunicorn_types import PlainRequest, RequestWait, Settings, Unreader

__all__ = ["CleanParser", "CleanReader", "CleanRequest", "prepare_clean_requests", "use_clean_requests"]

_TARGET: Final = re.compile(
    rb"/(?:[A-Za-z0-9._~!$&'()*+,;=:@%-][A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?:\?[!$-;=?-Z_a-z~]*)?"
)
_ODD_NAMES: Final = frozenset({"EXPECT", "TRANSFER-ENCODING", "SCRIPT-NAME", "PATH-INFO", "UPGRADE", "HTTP2-SETTINGS"})
_MOST_NAMES: Final = 1024
_MOST_VERDICTS: Final = 64
_VERSIONS: Final = ((1, 0), (1, 1))
_FLAGS: Final = (
    "permit_obsolete_folding",
    "strip_header_spaces",
    "permit_unconventional_http_method",
    "permit_unconventional_http_version",
    "casefold_http_method",
)

_known_limits: dict[tuple[int, int, int], dict[str, Any]] = {}


class CleanRequest(Request):  # type: ignore[misc]  # gunicorn has no type hints
    """gunicorn's request, with every attribute that it would have; only the way there is shorter.

    What is the same for all requests of a process is in the class that :class:`CleanReader` makes of this one.

    Attributes:
        header_environ: the headers, by their keys in ``environ``.
        environ_base: of the connection.  The request does not know its parser, which knows it: what refers to itself
            outlives its connection until the garbage collector comes.
    """

    _verdicts: ClassVar[dict[tuple[str | None, Any], bool]]

    def __init__(
        self,
        parser: CleanParser,
        method: bytes,
        target: bytes,
        minor_version: int,
        headers: list[tuple[str, str]],
        header_environ: dict[str, str],
        body: Body,
    ) -> None:
        # Not gunicorn's, which reads and parses.
        self.environ_base = parser.environ_base
        self.unreader = parser.unreader
        self.peer_addr = self.remote_addr = parser.source_addr
        self.req_number = parser.req_count
        self.method = method.decode("ascii")
        self.uri = uri = target.decode("ascii")
        self.path, _, self.query = uri.partition("?")
        self.version = _VERSIONS[minor_version]
        self.headers = headers
        self.header_environ = header_environ
        self.trailers: list[tuple[str, str]] = []
        self.body = body

    def should_close(self) -> bool:
        """Extends gunicorn's: what it says of a ``Connection`` is remembered."""
        if self.must_close:
            return True
        key = self.header_environ.get("HTTP_CONNECTION"), self.version
        verdict = self._verdicts.get(key)
        if verdict is None:
            verdict = super().should_close()
            if len(self._verdicts) < _MOST_VERDICTS:
                self._verdicts[key] = verdict
        return verdict


class CleanReader:
    """Makes clean requests of bytes, with one process's settings."""

    def __init__(self, cfg: Settings) -> None:
        self._parse: Callable[..., Any] = message._fast_parser_module.parse_request
        sample = _limits(cfg)
        self._limits = {
            "limit_request_line": sample.pop("_fast_limit_request_line"),
            "limit_request_fields": sample["limit_request_fields"],
            "limit_request_field_size": sample["limit_request_field_size"],
        }
        same = {
            **sample,
            "cfg": cfg,
            "must_close": False,
            "_expected_100_continue": False,
            "proxy_protocol_info": None,
            "fragment": "",
            "scheme": "https" if cfg.is_ssl else "http",
            "_verdicts": {},
        }
        self._request: Any = type("CleanRequest", (CleanRequest,), same)
        self._odd = _ODD_NAMES.union(cfg.secure_scheme_headers)
        self._names: dict[bytes, tuple[str, str] | None] = {}

    def read(self, data: bytes, parser: CleanParser) -> CleanRequest | None:
        """Return the request at the beginning of ``data`` and put back what follows it; ``None``: it is not clean."""
        try:
            said = self._parse(data, last_len=0, **self._limits)
        except Exception:  # noqa: BLE001 - whatever it is, gunicorn says it
            return None
        method, target = said["method"], said["path"]
        if (
            _TARGET.fullmatch(target) is None
            or method == b"CONNECT"
            or not data.startswith(b"%b %b HTTP" % (method, target))
        ):
            return None
        fields = self._fields(said["headers"])
        if fields is None:
            return None
        headers, environ = fields
        body = parser.no_body
        if "CONTENT_LENGTH" in environ:
            size = environ["CONTENT_LENGTH"]
            if not (size.isascii() and size.isdigit()):
                return None
            if size != "0":
                body = Body(BodyReader(parser.unreader, int(size)))
        rest = data[said["consumed"] :]
        if rest:
            parser.unreader.unread(rest)
        version = said["minor_version"]
        request: CleanRequest = self._request(parser, method, target, version, headers, environ, body)
        return request

    def _fields(self, said: Iterable[tuple[bytes, bytes]]) -> tuple[list[tuple[str, str]], dict[str, str]] | None:
        headers: list[tuple[str, str]] = []
        environ: dict[str, str] = {}
        names = self._names
        for raw_name, raw_value in said:
            known = names.get(raw_name)
            if known is None:
                known = self._learn(raw_name)
                if known is None:
                    return None
            name, key = known
            if key in environ:
                return None
            value = raw_value.decode("latin-1")
            headers.append((name, value))
            environ[key] = value
        return headers, environ

    def _learn(self, raw_name: bytes) -> tuple[str, str] | None:
        name = bytes(raw_name).decode("latin-1").upper()
        if "_" in name or name in self._odd:
            return None
        key = name.replace("-", "_")
        if name not in ("CONTENT-TYPE", "CONTENT-LENGTH"):
            key = f"HTTP_{key}"
        if len(self._names) < _MOST_NAMES:
            self._names[bytes(raw_name)] = (name, key)
        return name, key


class CleanParser(WaitingParser):
    """The requests of one connection: clean ones the short way.

    Attributes:
        reader: of this process.
        no_body: the body of every clean request of this connection that has none.
        environ_base: what the environs of this connection have in common, empty at first; see :mod:`environs`.
    """

    reader: ClassVar[CleanReader]
    mesg: Any

    def __init__(self, cfg: Settings, source: object, source_addr: object, *rest: object) -> None:
        super().__init__(cfg, source, source_addr, *rest)
        self.no_body = Body(LengthReader(self.unreader, 0))
        self.environ_base: dict[str, Any] = {}

    def __next__(self) -> PlainRequest:
        """Extends :class:`WaitingParser`: a wait is noted if there is one."""
        last = self.mesg
        if last is not None:
            if last.body is not self.no_body:
                return super().__next__()
            if last.should_close() or self.waits.is_over:
                raise StopIteration
        self.req_count += 1
        self.mesg = request = self._next()
        return request

    def mesg_class(self, cfg: Settings, unreader: Unreader, peer: object, number: int = 1) -> PlainRequest:
        """Extends :meth:`WaitingParser.mesg_class`: a clean request is read here."""
        data = self._await() if number > 1 else unreader.read()
        if not data:
            raise StopIteration  # as gunicorn's Request
        return self.reader.read(data, self) or self.odd(data)

    def _next(self) -> PlainRequest:
        """The next request, where no body of the last one is in the way."""
        data: bytes | None = None
        if self.unreader.buf.getvalue():
            data = self.unreader.read()
        elif self._client is not None and self.req_count == 1:
            data = self._client.recv_ready(self.unreader.mxchunk)
        request = None
        if data:
            request = self.reader.read(data, self)
            if request is None:
                self.unreader.unread(data)
        elif data is not None:
            raise StopIteration
        return request or self._next_noted()

    def _next_noted(self) -> PlainRequest:
        if not self._is_timed:
            return self.mesg_class(self.cfg, self.unreader, self.source_addr, self.req_count)
        greenlet = getcurrent()
        self.waits.note(greenlet)
        try:
            if self.req_count == 1:
                self.waits.began()
            return self.mesg_class(self.cfg, self.unreader, self.source_addr, self.req_count)
        finally:
            self.waits.forget(greenlet)

    def _await(self) -> bytes:
        """Wait for the first bytes of a further request, which are hardly ever there yet."""
        if self._client is not None and not self.unreader.buf.getvalue():
            self._client.wait_readable()
        data: bytes = self.unreader.read()
        return data


def use_clean_requests(cfg: Settings, waits: IdleLimit) -> RequestWait:
    """Take the short way in this worker, if its settings allow it; ``waits`` is told of every request either way.

    Returns:
        The context manager in which gunicorn is to wait for a request.
    """
    if not _is_usable(cfg):
        return tell_waits(cfg, waits)
    CleanParser.reader = CleanReader(cfg)
    use_short_create(cfg, CleanRequest)
    return tell_waits(cfg, waits, CleanParser)


def _is_usable(cfg: Settings) -> bool:
    uses_c_parser = getattr(message, "_check_fast_parser", None)
    if uses_c_parser is None or has_lax_parser() or any(getattr(cfg, flag, False) for flag in _FLAGS):
        return False
    if getattr(cfg, "proxy_protocol", False) not in (False, "off"):
        return False
    return bool(uses_c_parser(cfg)) and getattr(cfg, "protocol", "http") == "http"


def prepare_clean_requests(cfg: Settings) -> None:
    """In the primary, before the first fork: find out what every worker would that has these settings."""
    with suppress(RuntimeError):  # gunicorn's, about ``http_parser``: the worker will raise it
        if _is_usable(cfg):
            _limits(cfg)


def _limits(cfg: Settings) -> dict[str, Any]:
    """What gunicorn makes of the limits."""
    settings = (cfg.limit_request_line, cfg.limit_request_fields, cfg.limit_request_field_size)
    if settings not in _known_limits:
        _known_limits[settings] = _sampled_limits(cfg)
    return dict(_known_limits[settings])


def _sampled_limits(cfg: Settings) -> dict[str, Any]:
    """Read them off a request of gunicorn's own."""
    sample = Request(cfg, IterUnreader([b"GET / HTTP/1.1\r\n\r\n"]), ("127.0.0.1", 1))
    names = ("limit_request_line", "limit_request_fields", "limit_request_field_size", "max_buffer_headers")
    limits = {name: getattr(sample, name) for name in names}
    limits["_fast_limit_request_line"] = getattr(sample, "_fast_limit_request_line", sample.limit_request_line)
    return limits
