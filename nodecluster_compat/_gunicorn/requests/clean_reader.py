"""Read requests about which there is nothing to decide, a shorter way than gunicorn's: bytes in, a request out.

A request is *clean* when everything about it that gunicorn would check, merge, drop or translate is absent: an ordinary
target, header names without underscores that occur once, none that speaks of the body in any other way than one plain
``Content-Length``.  A clean request is built straight from what gunicorn's own C parser says.  Every other one, and
whatever that parser refuses, is put back and read again by gunicorn, so its answers, errors and order of checks are
gunicorn's by construction, with what :mod:`refusals` adds: this module can only be slow, not lax.

What has been met before (names of fields, what ``Connection`` says) the C extension reads without a call to Python
(``native/clean_reader.c``); the rest of a clean request's kind is read here, and known from then on.

:mod:`ways` has the table of what is clean, and :mod:`clean_connection` what is done with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from gunicorn.http import message
from gunicorn.util import unquote_to_wsgi_str

from ...base.native import Choice, Native, in_force
from .clean_head import TWICE, taker
from .clean_request import CleanRequest
from .head_limits import limits_of
from .trusted_peers import is_trusted
from .ways import ODD_FIELDS

if TYPE_CHECKING:
    from ..gunicorn_types import Environ, Settings

__all__ = ["CleanReader"]

_TARGET: Final = rb"/(?:[A-Za-z0-9._~!$&'()*+,;=:@%-][A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?:\?[!$-;=?-Z_a-z~]*)?"
_LINE: Final = re.compile(rb"(?!CONNECT )[!-~]+ %b HTTP" % _TARGET)
_MOST_NAMES: Final = 1024
_MOST_VERDICTS: Final = 64
_MOST_DIGITS: Final = 18


class CleanReader:
    """Makes clean requests of bytes, with one process's settings.

    Args:
        cfg: gunicorn's settings.
        choice: C or Python; what is in force unless it is said.
        may_be_changed: see :class:`CleanRequest`.

    Attributes:
        request: the class of what is read.
        heads: reads what is known already, in C; ``None``: Python reads all of it.
    """

    def __init__(self, cfg: Settings, choice: Choice | None = None, *, may_be_changed: bool = False) -> None:
        self._cfg = cfg
        choice = in_force() if choice is None else choice
        self._take = taker(choice)
        self._parse: Callable[..., Any] = message._fast_parser_module.parse_request_fast
        sample = limits_of(cfg)
        self._line: int = sample.pop("_fast_limit_request_line")
        self._count: int = sample["limit_request_fields"]
        self._size: int = sample["limit_request_field_size"]
        same = {
            **sample,
            "cfg": cfg,
            "parse": staticmethod(self._said),
            "_expected_100_continue": False,
            "proxy_protocol_info": None,
            "fragment": "",
            "scheme": "https" if cfg.is_ssl else "http",
            "may_be_changed": may_be_changed,
        }
        self._keys: dict[bytes, str] = {}
        self._verdicts: tuple[dict[str | None, bool], dict[str | None, bool]] = {}, {}  # by minor version
        schemes = cfg.secure_scheme_headers.items()
        self._schemes = {_key_of(name): value for name, value in schemes if "_" not in name and name == name.upper()}
        self.request: type[CleanRequest] = type("CleanRequest", (CleanRequest,), {**same, "must_close": False})
        self.heads = None if choice.module is None else self._heads_in_c(choice.module, same)

    def _heads_in_c(self, native: Native, same: dict[str, Any]) -> Any:  # noqa: ANN401 - of C
        self.request = type("CleanRequest", (native.PlainRequest, CleanRequest), same)
        return native.CleanHeads(
            keys=self._keys,
            http10=self._verdicts[0],
            http11=self._verdicts[1],
            unquote=unquote_to_wsgi_str,
            request=self.request,
            schemes=tuple(self._schemes),
            tell_scheme=partial(_tell_known_scheme, self._cfg, self._schemes),
            line=self._line,
            count=self._count,
            size=self._size,
        )

    def _said(self, data: bytes) -> Any:  # noqa: ANN401 - of C
        return self._parse(data, 0, self._line, self._count, self._size)  # names would double what it costs

    def read(self, data: bytes, base: Environ, peer: object) -> tuple[CleanRequest, Environ, bytes] | None:
        """Return the request at the beginning of ``data``, its environ, and what follows its head.

        Args:
            data: what has come.
            base: what the environs of its connection have in common.
            peer: the address that it has come from.

        Returns:
            ``None`` when it is not clean, or not whole.
        """
        if self.heads is not None and (read := self.heads.read(data, base)) is not None:
            return read  # type: ignore[no-any-return]  # of C
        try:
            said = self._said(data)
        except Exception:  # noqa: BLE001 - whatever it is, gunicorn says it
            return None
        if _LINE.match(data) is None:
            return None
        environ = base.copy()
        fields, take = said.headers, self._take.fields
        at = take(environ, self._keys, fields, 0)
        while 0 <= at < len(fields):
            if not self._take_new(environ, *fields[at]):
                return None
            at = take(environ, self._keys, fields, at + 1)
        if at == TWICE:
            return None
        request = self.request()
        request.line, request.fields, request.length = data, fields, 0
        if "CONTENT_LENGTH" in environ:
            size = environ["CONTENT_LENGTH"]
            if not (size.isascii() and size.isdigit() and len(size) <= _MOST_DIGITS):
                return None
            request.length = int(size)
        if not _tell_scheme(self._cfg, self._schemes, request, environ, peer):
            return None
        self._tell_line(request, environ, said)
        return request, environ, data[said.consumed :]

    def _tell_line(self, request: CleanRequest, environ: Environ, said: Any) -> None:  # noqa: ANN401 - of C
        """Put what the first line says into the request and its environ, and what becomes of the connection."""
        request.minor_version = minor = said.minor_version
        if self._take.line(environ, said.method, target := said.path, minor):
            environ["PATH_INFO"] = unquote_to_wsgi_str(target.partition(b"?")[0].decode("latin-1"))
        verdicts, said_of_it = self._verdicts[minor], environ.get("HTTP_CONNECTION")
        request.ends = verdicts.get(said_of_it)
        if request.ends is None:
            _remember(verdicts, said_of_it, request.should_close(), _MOST_VERDICTS)

    def _take_new(self, environ: Environ, name: bytes, value: bytes) -> bool:
        """Put a field into an environ whose name is met for the first time; return whether it may be there."""
        key = self._learn(name)
        if key is None or key in environ:
            return False
        environ[key] = value.decode("latin-1")
        return True

    def _learn(self, raw_name: bytes) -> str | None:
        """Return the key of a field in environ; ``None``: it makes a request gunicorn's."""
        name = bytes(raw_name).decode("latin-1").upper()
        if "_" in name or name in ODD_FIELDS:
            return None
        key = _key_of(name)
        _remember(self._keys, bytes(raw_name), key, _MOST_NAMES)
        return key


def _tell_known_scheme(cfg: Settings, schemes: Mapping[str, str], request: CleanRequest, environ: Environ) -> bool:
    """As :func:`_tell_scheme`, for the peer that an environ names; ``False`` if it names none."""
    if "REMOTE_ADDR" not in environ:
        return False
    peer = (environ["REMOTE_ADDR"],) if "REMOTE_PORT" in environ else environ["REMOTE_ADDR"]
    return _tell_scheme(cfg, schemes, request, environ, peer)


def _tell_scheme(
    cfg: Settings, schemes: Mapping[str, str], request: CleanRequest, environ: Environ, peer: object
) -> bool:
    """Let a trusted peer say the scheme; return whether there is nothing to decide about it."""
    said = [environ[key] == secure for key, secure in schemes.items() if key in environ]
    if said and is_trusted(cfg, peer):
        request.scheme = environ["wsgi.url_scheme"] = "https" if said[0] else "http"
        return len(said) == 1
    return True


def _remember(known: dict[Any, Any], key: object, value: object, most: int) -> None:
    """Note something that a client has sent; what was met first is forgotten where clients send more than is kept."""
    if len(known) >= most:
        del known[next(iter(known))]
    known[key] = value


def _key_of(name: str) -> str:
    key = name.replace("-", "_")
    return key if name in ("CONTENT-TYPE", "CONTENT-LENGTH") else f"HTTP_{key}"
