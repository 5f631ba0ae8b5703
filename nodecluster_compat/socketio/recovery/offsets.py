"""Say how far a client has got: an offset, which goes as the last argument of each event.  Pure.

Workers see the packets of others in different orders, so one number would not do.  An offset says of each worker which
of its packets was seen last, as vector clocks do; each worker numbers its own.  A client gives back what it got last,
whatever that is: ``time · ':' · worker '-' number · ',' …``, in hexadecimal digits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

__all__ = ["NOTHING", "Offset", "decode_offset", "encode_offset"]

_MOST_CHARACTERS: Final = 4096
_NUMBER: Final = r"[0-9a-f]{1,12}"
_OFFSET: Final = re.compile(rf"{_NUMBER}:(?:{_NUMBER}-{_NUMBER}(?:,{_NUMBER}-{_NUMBER})*)?", re.ASCII)


class Offset(Struct, frozen=True):
    """How far somebody has got.

    Attributes:
        time: when the last packet was sent, in milliseconds of the machine's clock that only goes on.
        seen: by the id of a worker, the number of its last packet.
    """

    time: int
    seen: Mapping[int, int]

    def has(self, sender: int, number: int) -> bool:
        """Whether a packet was seen."""
        return number <= self.seen.get(sender, 0)

    def with_packet(self, sender: int, number: int, time: int) -> Offset:
        """Return the offset when one more packet has been seen."""
        seen = {**self.seen, sender: max(number, self.seen.get(sender, 0))}
        return Offset(max(time, self.time), seen)

    def with_all_of(self, other: Offset) -> Offset:
        """Return the offset of somebody who has seen what both have."""
        seen = {one: max(self.seen.get(one, 0), other.seen.get(one, 0)) for one in {*self.seen, *other.seen}}
        return Offset(max(self.time, other.time), seen)

    def within(self, most: Offset) -> Offset:
        """Return what of this offset can be true, where ``most`` is all that anybody has seen."""
        seen = {one: min(number, most.seen[one]) for one, number in self.seen.items() if one in most.seen}
        return Offset(min(self.time, most.time), seen)


NOTHING: Final = Offset(0, MappingProxyType({}))


def encode_offset(offset: Offset) -> str:
    """Return an offset as clients keep it."""
    return f"{offset.time:x}:" + ",".join(f"{sender:x}-{number:x}" for sender, number in offset.seen.items())


def decode_offset(text: object) -> Offset | None:
    """Return the offset that a client has given back; ``None`` for whatever :func:`encode_offset` has not made."""
    if not isinstance(text, str) or len(text) > _MOST_CHARACTERS or _OFFSET.fullmatch(text) is None:
        return None
    time, _, pairs = text.partition(":")
    numbers = [pair.split("-") for pair in pairs.split(",") if pair]
    return Offset(int(time, 16), {int(sender, 16): int(number, 16) for sender, number in numbers})
