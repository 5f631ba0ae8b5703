"""Heads of requests: C, Python and gunicorn's two parsers read the same, or the head is left to gunicorn.

What is read here goes to nobody else, so gunicorn must accept it as well, and find the same request, the same body
behind it and the same rest.  What is not read here *is* gunicorn's: it cannot be read differently.
"""

from __future__ import annotations

from typing import Any, Final

from fuzz_requests import _SEEDS, _WORDS, can_compare
from fuzz_targets import Target
from gunicorn.config import Config
from gunicorn.http.body import LengthReader
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader

from nodecluster_compat._gunicorn.requests.clean_reader import CleanReader
from nodecluster_compat.base.native import PYTHON, in_force

__all__ = ["READS"]

_PEER: Final = ("127.0.0.1", 4711)
_BASE: Final = {"SCRIPT_NAME": "", "wsgi.url_scheme": "http"}
_NAMES: Final = ("method", "uri", "path", "query", "version", "headers", "scheme")
_OURS: Final = (*_NAMES, "line", "fields", "minor_version", "length")


def _setting(parser: str) -> Any:
    cfg = Config()
    cfg.set("http_parser", parser)
    return cfg


class _Readers:
    """Made at the first input."""

    made: tuple[CleanReader, CleanReader, list[Any]] | None = None

    @classmethod
    def get(cls) -> tuple[CleanReader, CleanReader, list[Any]]:
        if cls.made is None:
            settings = [_setting(parser) for parser in ("fast", "python")]
            cls.made = CleanReader(Config(), in_force()), CleanReader(Config(), PYTHON), settings
        return cls.made


def _told(reader: CleanReader, data: bytes) -> Any:
    read = reader.read(data, dict(_BASE), _PEER)
    if read is None:
        return None
    request, environ, rest = read
    return [*(getattr(request, name) for name in _OURS), request.should_close(), list(environ.items()), rest]


def _of_gunicorn(cfg: Any, data: bytes) -> list[Any]:
    """What gunicorn reads, and how long it says that the body is."""
    request: Any = Request(cfg, IterUnreader([data]), _PEER)
    reader = request.body.reader
    length = reader.length if type(reader) is LengthReader else reader
    return [*(getattr(request, name) for name in _NAMES), length, request.should_close(), request.unreader.read()]


def _check_reads(data: bytes) -> None:
    native, twin, settings = _Readers.get()
    ours, python = _told(native, data), _told(twin, data)
    assert ours == python, (data, ours, python)
    if ours is not None:
        at = len(_NAMES)
        expected = [*ours[:at], ours[at + 3], ours[at + 4], ours[-1]]
        for cfg in settings:
            theirs = _of_gunicorn(cfg, data)
            assert expected == theirs, (data, expected, theirs)


READS: Final[dict[str, Target]] = (
    {} if in_force().module is None or not can_compare() else {"reads": Target(_check_reads, _SEEDS, _WORDS)}
)
"""None where there is no extension, or no parser in C."""
