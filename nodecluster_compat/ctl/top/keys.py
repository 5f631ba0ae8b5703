"""Read keys out of the bytes that a terminal sends.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

__all__ = ["Keys"]

_SEQUENCES: Final = {
    b"\x1b[A": "up", b"\x1bOA": "up", b"\x1b[B": "down", b"\x1bOB": "down",
    b"\x1b[C": "right", b"\x1bOC": "right", b"\x1b[D": "left", b"\x1bOD": "left",
    b"\x1b[H": "home", b"\x1b[1~": "home", b"\x1bOH": "home", b"\x1b[F": "end", b"\x1b[4~": "end", b"\x1bOF": "end",
    b"\x1b[5~": "page up", b"\x1b[6~": "page down",
}  # fmt: skip
_NAMES: Final = {b"\r": "enter", b"\n": "enter", b" ": "space", b"\x0c": "redraw", b"\x7f": "back", b"\x08": "back"}
_KEY: Final = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[A-Za-z]|(?=\x1b)|$)|[\x00-\x7f]|[\xc0-\xff][\x80-\xbf]*", re.DOTALL
)
_UNFINISHED: Final = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|O)\Z")
_MOST_BYTES: Final = 64


class Keys:
    """Cuts what comes into keys: a letter, or a name such as ``up`` or ``escape``; ``""`` for what is unknown."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[str]:
        """Return the keys in ``data``; a sequence of which a part has come waits for the rest."""
        data, self._rest = self._rest + data, b""
        unfinished = _UNFINISHED.search(data)
        if unfinished is not None and len(unfinished[0]) < _MOST_BYTES:
            data, self._rest = data[: unfinished.start()], unfinished[0]
        return (_name(found[0]) for found in _KEY.finditer(data))


def _name(key: bytes) -> str:
    if key == b"\x1b":
        return "escape"
    name = _SEQUENCES.get(key) or _NAMES.get(key)
    if name is not None:
        return name
    text = key.decode(errors="replace")
    return text if text.isprintable() else ""
