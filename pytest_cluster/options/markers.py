"""Order the markers of a test, nearest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest
    from _pytest.nodes import Node

__all__ = ["markers_of"]


def markers_of(item: pytest.Item, name: str = "cluster") -> list[pytest.Mark]:
    """Return the markers of this name, the nearest first: a parameter's, the function's, a class', its bases'.

    pytest has those of a function before those of its parameters, and those of a class after those of its bases.
    """
    return [mark for node in reversed(item.listchain()) for mark in _nearest_first(node) if mark.name == name]


def _nearest_first(node: Node) -> Sequence[pytest.Mark]:
    params = list(getattr(getattr(node, "callspec", None), "marks", ()))
    if params:
        of_params = [mark for mark in node.own_markers if mark in params]
        return [*of_params, *(mark for mark in node.own_markers if mark not in of_params)]
    owner = getattr(node, "obj", None)
    if not isinstance(owner, type):
        return node.own_markers
    ranks = {id(mark): rank for rank, one in enumerate(owner.__mro__) for mark in _marks_of(one)}
    return sorted(node.own_markers, key=lambda mark: ranks.get(id(mark), -1))


def _marks_of(owner: type) -> Iterator[object]:
    given = vars(owner).get("pytestmark", ())
    for one in given if isinstance(given, list | tuple) else [given]:
        yield getattr(one, "mark", one)
