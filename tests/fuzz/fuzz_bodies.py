"""Bodies of a known length: C, Python and gunicorn's own reader give an application the same, however it reads.

An input is what the application does, a byte each, a zero byte, and the body.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fuzz_targets import Target
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.unreader import IterUnreader

from nodecluster_compat._gunicorn.requests.body_reader import HeldReader, KnownBody
from nodecluster_compat.base.native import in_force

__all__ = ["BODIES"]

_SIZES: Final[tuple[Any, ...]] = (None, -1, 0, 1, 2, 3, 5, 8, 100, 1023, 1024, 1025, 2**62, 2**70, -(2**70), True)
_NO_SIZES: Final[tuple[Any, ...]] = ("1", 1.5, b"")
_DEEDS: Final[tuple[Callable[[Any, Any], Any], ...]] = (
    lambda body, size: body.read(size),
    lambda body, size: body.readline(size),
    lambda body, size: body.readlines(size),
    lambda body, _: next(body, None),
    lambda body, _: body.read(),
    lambda body, size: body.reader.read(size),  # as what throws away what the application has not read
)


def _told(body: Any, script: bytes) -> tuple[list[Any], list[int]]:
    told: list[Any] = []
    left = []
    for byte in script:
        deed, number = divmod(byte, len(_SIZES) + len(_NO_SIZES))
        size = _SIZES[number] if number < len(_SIZES) else _NO_SIZES[number - len(_SIZES)]
        try:
            told.append(_DEEDS[deed % len(_DEEDS)](body, size))
        except Exception as error:  # noqa: BLE001 - compared
            told.append((type(error), str(error)))
        left.append(body.reader.length)
    return told, left


def _check_bodies(data: bytes) -> None:
    script, _, held = data.partition(b"\0")
    native: Any = in_force().module
    ours = _told(KnownBody(native.HeldReader(held)), script[:16])
    python = _told(KnownBody(HeldReader(held)), script[:16])
    gunicorn = _told(Body(LengthReader(IterUnreader([held + b"GET / HTTP/1.1\r\n"]), len(held))), script[:16])
    assert ours == python, (data, ours, python)
    assert ours[0] == gunicorn[0], (data, ours, gunicorn)


_SEEDS: Final = [
    bytes(script) + b"\0" + body
    for script in ([4], [3, 21, 60, 60, 60], [41, 4], [98, 99, 100, 4], [16, 17, 14, 13, 12, 11])
    for body in (b"", b"a=b&c=d", b"one\ntwo\n\nthree", b"x" * 1500 + b"\n" + b"y" * 600)
]

BODIES: Final[dict[str, Target]] = (
    {} if in_force().module is None else {"bodies": Target(_check_bodies, _SEEDS, (b"\n", b"\0", b"\n\n", b"x" * 1024))}
)
"""None where there is no extension."""
