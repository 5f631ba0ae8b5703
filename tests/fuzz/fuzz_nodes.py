"""Advanced messages of the right shape and any content: bytes are read as a plan of nodes, so every input gets far."""

from __future__ import annotations

from typing import Any, Final

from fuzz_targets import Target, check_advanced

from nodecluster_compat.messages import advanced_nodes as nodes
from nodecluster_compat.messages.advanced_decoder import EXCEPTIONS

__all__ = ["NODES"]

_MOST_NODES: Final = 64
_NAMES: Final = sorted(EXCEPTIONS)
_NUMBERS: Final = (0, 1, -1, 2**31, -(2**31), 2**53, 2**61 - 1, 2**62, -(2**63), 2**63, 2**64 - 1, 999_999_999)
_FLOATS: Final = (0.0, -0.0, 1.5, float("inf"), float("nan"), 1e308, 5e-324, 2.0**61)
_WORDS: Final = (
    *("", "x", "KeyError", "utf-8", "2020-01-02", "2020-01-02T03:04:05+23:59", "0001-01-01T00:00", "12:30:00.5+01:00"),
    *(
        "sNaN",
        "-Infinity",
        "1E+999999",
        "1E-999999",
        "0." + "0" * 50,
        "9" * 300,
        "2020-13-40",
        "24:00",
        "\xe9\u20ac\U0001f600",
    ),
)


class _Plan:
    """Takes decisions off some bytes; the last ones are zeros."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_over(self) -> bool:
        return self._at >= len(self._data)

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def value(self) -> Any:
        how = self.byte()
        if how < 128:
            return (how % 70,)  # a node, or none
        if how < 160:
            return _NUMBERS[how % len(_NUMBERS)]
        if how < 176:
            return _FLOATS[how % len(_FLOATS)]
        return (None, True, False, how, _WORDS[how % len(_WORDS)])[how % 5]

    def values(self) -> list[Any]:
        return [self.value() for _ in range(self.byte() % 8)]

    def some(self) -> bytes:
        return bytes(self.byte() for _ in range(self.byte() % 20))

    def word(self) -> str:
        return _WORDS[self.byte() % len(_WORDS)]

    def number(self) -> int:
        return _NUMBERS[self.byte() % (len(_NUMBERS) - 2)]

    def node(self) -> nodes.Node:
        tag = self.byte() % 24
        if tag < len(_CONTAINERS):
            return _CONTAINERS[tag](self.values())
        kind = _OTHERS[(tag - len(_CONTAINERS)) % len(_OTHERS)]
        if kind in (nodes.Bytes, nodes.Buffer, nodes.BigInt, nodes.Text):
            return kind(self.some())
        if kind is nodes.Uuid:
            return nodes.Uuid(self.some().ljust(16, b"\0")[:16])
        if kind is nodes.Datetime:
            return nodes.Datetime(self.word(), self.byte() % 3)
        if kind is nodes.Timedelta:
            return nodes.Timedelta(self.number(), self.number(), self.number())
        if kind is nodes.Complex:
            return nodes.Complex(_FLOATS[self.byte() % len(_FLOATS)], _FLOATS[self.byte() % len(_FLOATS)])
        if kind is nodes.Exception_:
            return nodes.Exception_(_NAMES[self.byte() % len(_NAMES)], self.values(), [self.word()])
        return kind(self.word())


_CONTAINERS: Final[list[Any]] = [
    nodes.List,
    nodes.Tuple,
    nodes.Dict,
    nodes.Set,
    nodes.Frozenset,
    nodes.Tuple,
    nodes.Dict,
]
_OTHERS: Final[list[Any]] = [
    *(nodes.Bytes, nodes.Buffer, nodes.BigInt, nodes.Text, nodes.Uuid, nodes.Date, nodes.Time, nodes.DecimalNumber),
    *(nodes.Datetime, nodes.Timedelta, nodes.Complex, nodes.Exception_, nodes.Exception_),
]


def check_nodes(data: bytes) -> None:
    """As for any bytes that claim to be a message."""
    plan = _Plan(data)
    made: list[Any] = []
    while not plan.is_over and len(made) < _MOST_NODES:
        made.append(plan.node())
    check_advanced(nodes.pack(nodes.Message((0,), made)))


NODES: Final = {
    "nodes": Target(
        check_nodes,
        [
            bytes((0, 3, 1, 2, 3, 1, 2, 4, 5, 2, 4, 6, 7, 6, 7, 3, 3, 8, 9, 10, *range(7, 24), 18, 5, 1, 2, 3, 4, 5)),
            bytes((1, 2, 1, 1)) + bytes((1, 2, 2, 2)) * 20 + bytes((3, 1, 1)),
            bytes(range(256)),
        ],
        [bytes((tag, 2, 130, 131)) for tag in range(7)]
        + [bytes((18, name, 3, 180, 1, 140)) for name in range(0, 70, 3)],
    )
}
