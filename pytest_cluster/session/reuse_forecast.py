"""Predict whether a later test can use the same cluster, before any of them has said what it asks for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

__all__ = ["LaterUse"]


class LaterUse:
    """The last test of each kind: with the same markers, the same number of workers and the same fixtures."""

    def __init__(self, items: Iterable[pytest.Item]) -> None:
        self._positions: dict[int, int] = {}
        self._last: dict[str, int] = {}
        for position, one in enumerate(items):
            self._positions[id(one)] = position
            if "cluster" in getattr(one, "fixturenames", ()):
                self._last[_kind(one)] = position

    def comes_after(self, item: pytest.Item) -> bool:
        """Whether a test after *item* will ask for the same, as far as can be told."""
        return self._last.get(_kind(item), -1) > self._positions.get(id(item), 0)


def _kind(item: pytest.Item) -> str:
    """Return what marker, command line and overridden fixtures say, as a text to compare."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    given = [params.get(name) for name in ("cluster_workers", "cluster_app", "cluster_options")]
    markers = [sorted(marker.kwargs.items(), key=lambda pair: pair[0]) for marker in item.iter_markers("cluster")]
    return repr((given, markers, [_definition(item, name) for name in ("cluster_app", "cluster_options")]))


def _definition(item: pytest.Item, name: str) -> int:
    """Identify the fixture of this name that *item* gets: the innermost one."""
    definitions = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {}).get(name)
    return id(definitions[-1]) if definitions else 0
