"""Read a chunked body as the newest gunicorn does: a size line is checked as a whole, and has a bound.

Used with an older gunicorn only, see :mod:`refusals`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import ChunkMissingTerminator, InvalidChunkSize, LimitRequestHeaders, NoMoreData

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..gunicorn_types import Unreader

__all__ = ["StrictChunkedReader"]

_SIZE: Final = re.compile(rb"[0-9A-Fa-f]+")
_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED: Final = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_EXTENSION: Final = rb"[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?" % (_TOKEN, _TOKEN, _QUOTED)
_SIZE_LINE: Final = re.compile(rb"(%b)(?:%b)*" % (_SIZE.pattern, _EXTENSION))
_MOST_OF_A_LINE: Final = 8190


class StrictChunkedReader(ChunkedReader):  # type: ignore[misc]  # gunicorn has no type hints
    """gunicorn's reader of a chunked body.  After a fault the connection is not used again."""

    req: Any

    def parse_chunked(self, unreader: Unreader) -> Iterator[bytes]:
        """Extends gunicorn's: where the next request begins is unknown after a fault (27.0)."""
        try:
            yield from super().parse_chunked(unreader)
        except GeneratorExit:
            raise
        except BaseException:
            self.req.force_close()
            raise

    def parse_chunk_size(self, unreader: Unreader, data: bytes | None = None) -> tuple[int, bytes | None]:
        """Replaces gunicorn's: extensions follow RFC 9112 §7.1.1, and a line is bounded (27.0)."""
        bound = self.req.limit_request_field_size or _MOST_OF_A_LINE
        endless = InvalidChunkSize(b"line over %d bytes" % bound)
        line, rest = _read_to(b"\r\n", unreader, data or b"", bound, endless)
        matched = _SIZE_LINE.fullmatch(line)
        if matched is None:
            raise InvalidChunkSize(line)
        size = int(matched[1], 16)
        if size:
            return size, rest
        self.parse_trailers(unreader, rest)
        return 0, None

    def parse_trailers(self, unreader: Unreader, data: bytes | None) -> bytes | None:
        """Replaces gunicorn's: trailers end, and are bounded as a head is (26.1, 27.0)."""
        # The line end of the last chunk's size is put back: then an empty section ends as any other does.
        held = b"\r\n" + (data or b"")
        endless = LimitRequestHeaders("limit request trailer section size")
        try:
            section, rest = _read_to(b"\r\n\r\n", unreader, held, self.req.max_buffer_headers, endless)
        except NoMoreData:
            raise ChunkMissingTerminator(b"") from None
        unreader.unread(rest)
        if section:
            self.req.trailers = self.req.parse_headers(section[2:], from_trailer=True)
        return b""


def _read_to(end: bytes, unreader: Unreader, held: bytes, bound: int, endless: Exception) -> tuple[bytes, bytes]:
    """Return what comes before ``end`` and what comes after it; raise ``endless`` if it is not within the bound."""
    buffer = bytearray(held)
    searched = 0
    while (found := buffer.find(end, searched)) < 0:
        if len(buffer) > bound:
            raise endless
        searched = max(0, len(buffer) - len(end) + 1)
        data = unreader.read()
        if not data:
            raise NoMoreData
        buffer += data
    return bytes(buffer[:found]), bytes(buffer[found + len(end) :])
