"""Put the head of a clean request, as the C parser gives it, into its environ.

The C extension has the twins of these two functions (``native/clean_head.c``); :func:`taker` chooses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from ...base.native import Choice
    from ..gunicorn_types import Environ

__all__ = ["TWICE", "Fields", "Taker", "taker"]

Fields = tuple[tuple[bytes, bytes], ...]

TWICE: Final = -1

_PROTOCOLS: Final = ("HTTP/1.0", "HTTP/1.1")


class Taker(NamedTuple):
    """The functions that put heads into environs.

    Attributes:
        fields: ``fields(environ, keys, fields, start)`` puts the fields of a head there, by their keys, from the one
            at ``start`` on.  It returns where it stopped: after the last one, or at one whose name is not among the
            keys; :data:`TWICE`: a key is in the environ already.
        line: ``line(environ, method, target, minor_version)`` puts the first line there, and returns whether the path
            has escapes: then there is no ``PATH_INFO`` yet.
    """

    fields: Callable[[Environ, dict[bytes, str], Fields, int], int]
    line: Callable[[Environ, bytes, bytes, int], bool]


def taker(choice: Choice) -> Taker:
    """Return what serves: C or Python."""
    native = choice.module
    return Taker(_take_fields, _take_line) if native is None else Taker(native.take_fields, native.take_line)


def _take_fields(environ: Environ, keys: dict[bytes, str], fields: Fields, start: int) -> int:
    for number in range(start, len(fields)):
        name, value = fields[number]
        key = keys.get(name)
        if key is None:
            return number
        if key in environ:
            return TWICE
        environ[key] = value.decode("latin-1")
    return max(start, len(fields))


def _take_line(environ: Environ, method: bytes, target: bytes, minor_version: int) -> bool:
    environ["REQUEST_METHOD"] = method.decode("latin-1")
    environ["SERVER_PROTOCOL"] = _PROTOCOLS[minor_version]
    environ["RAW_URI"] = path = target.decode("latin-1")
    if "?" in path:
        path, _, environ["QUERY_STRING"] = path.partition("?")
    else:
        environ["QUERY_STRING"] = ""
    if "%" in path:
        return True
    environ["PATH_INFO"] = path
    return False
