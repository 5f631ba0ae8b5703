"""Read the body of a clean request off the socket, in the pieces that the application asks for.

gunicorn reads up to a mebibyte ahead and copies what is left of it with every piece that is taken.  Here a piece is
received as such, so a body is copied once; small pieces (lines, a few bytes) are still read ahead by gunicorn's method.
Whatever is left of a body is not small.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final

from gunicorn.http.body import Body, LengthReader

__all__ = ["BodyReader", "HeldReader", "KnownBody", "NoBody"]

_LEAST: Final = 16 * 1024  # as a piece; below, a system call for each would cost more than copying
_MOST: Final = 1024 * 1024  # in one call: gunicorn's bound


class BodyReader(LengthReader):  # type: ignore[misc]  # gunicorn has no type hints
    """gunicorn's reader of a body whose length is known."""

    unreader: Any
    length: int

    def read(self, size: object) -> bytes:
        """Return ``size`` bytes, fewer at the end of the body or of the connection; as gunicorn's."""
        wanted = min(self.length, size) if isinstance(size, int) else 0
        held: bytes = self.unreader.buf.getvalue()
        if 0 < wanted <= len(held):
            self.unreader.buf = BytesIO(held[wanted:])
            self.length -= wanted
            return held[:wanted]
        # The rest is never too small: nothing is left to read ahead.
        if wanted <= 0 or (wanted < _LEAST and wanted < self.length):
            data: bytes = super().read(size)
            return data
        self.unreader.buf = BytesIO()
        pieces = [held]
        try:
            self._receive(pieces, wanted - len(held))
        except BaseException:
            self.unreader.unread(b"".join(pieces))  # a time-out of the application's, perhaps, which may go on
            raise
        self.length -= wanted
        return b"".join(pieces)

    def _receive(self, pieces: list[bytes], missing: int) -> None:
        while missing:
            data = self.unreader.sock.recv(min(missing, _MOST))
            if not data:
                return
            pieces.append(data)
            missing -= len(data)


class HeldReader(LengthReader):  # type: ignore[misc]  # gunicorn has no type hints
    """gunicorn's reader of a body whose length is known, and of which all bytes are here.

    The C extension has its twin (``native/body_reader.c``).

    Args:
        held: the body.
    """

    length: int

    def __init__(self, held: bytes) -> None:
        # Not gunicorn's: nothing is read of a connection.
        self._held = held
        self.length = len(held)

    def read(self, size: object) -> bytes:
        """Return ``size`` bytes, fewer at the end of the body; as gunicorn's."""
        if not isinstance(size, int):
            raise TypeError("size must be an integral type")
        if size < 0:
            raise ValueError("Size must be positive.")
        at = len(self._held) - self.length
        piece = self._held[at : at + size]
        self.length -= len(piece)
        return piece


class KnownBody(Body):  # type: ignore[misc]
    """gunicorn's body over one of these readers: what is left of it is not copied once more."""

    def read(self, size: int | None = None) -> bytes:
        """Return ``size`` bytes, or all; as gunicorn's."""
        left = self.reader.length
        takes_all = size is None or (type(size) is int and not 0 <= size < left)
        data: bytes
        if not takes_all or self.buf.tell():
            data = super().read(size)
        elif left:
            data = getattr(self, "_read_reader", self.reader.read)(left)  # which notes a failure, from 27 on
        else:
            data = b""
        return data


class NoBody(Body):  # type: ignore[misc]
    """gunicorn's body of a request that has none: it begins with what every other one begins with."""

    reader = LengthReader(None, 0)
    buf: Any = BytesIO()  # to which nothing is ever written: a method that keeps something makes another one
    failed = False

    __init__ = object.__init__  # not gunicorn's, which makes all of it anew
