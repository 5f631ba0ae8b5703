"""Predict whether a later test can use the same cluster, before any of them has said what it asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..options.markers import markers_of
from .asking import asks_for

if TYPE_CHECKING:
    import pytest

__all__ = ["LaterUse"]

ITSELF = "request"
"""What a test has that asks for fixtures itself."""


class LaterUse:
    """The last test of each kind: with the same markers, the same number of workers and the same fixtures."""

    def __init__(self, items: Sequence[pytest.Item]) -> None:
        self._items = items
        self._positions = {id(one): position for position, one in enumerate(items)}
        self._last: dict[str, int] = {}
        self._noted: set[tuple[object, ...]] = set()
        for position, one in enumerate(items):
            if asks_for(one, ("cluster",)):
                self._last[_kind(one)] = position

    def note(self, item: pytest.Item, request: pytest.FixtureRequest) -> None:
        """Take note of a test that has a cluster and could not be known to ask for one: others ask as it does.

        :param request: that of the fixture ``cluster``, which knows who has asked for it.
        """
        if asks_for(item, ("cluster",)):
            return
        asker = _asker(item, request)
        noted = (_kind(item), asker, item.path if asker == ITSELF else None)
        if noted not in self._noted:
            self._noted.add(noted)
            others = [one for one in self._items if asker in getattr(one, "fixturenames", ())]
            same = [one for one in others if noted == (_kind(one), asker, one.path if asker == ITSELF else None)]
            last = max((self._positions[id(one)] for one in same), default=-1)
            self._last[noted[0]] = max(last, self._last.get(noted[0], -1))

    def comes_after(self, item: pytest.Item) -> bool:
        """Whether a test after *item* will ask for the same, as far as can be told."""
        return self._last.get(_kind(item), -1) > self._positions.get(id(item), 0)


def _asker(item: pytest.Item, request: pytest.FixtureRequest) -> str:
    """Return the name of the outermost fixture through which a test has asked, or that of ``request``."""
    names = []
    parent = getattr(request, "_parent_request", None)
    while parent is not None:
        names.append(parent.fixturename)
        parent = getattr(parent, "_parent_request", None)
    known = getattr(item, "fixturenames", ())
    return next((name for name in reversed(names) if name in known), ITSELF)


def _kind(item: pytest.Item) -> str:
    """Return what marker, command line and overridden fixtures say, as a text to compare."""
    from .parametrize import count_of

    params = getattr(getattr(item, "callspec", None), "params", {})
    given = [count_of(item), *(params.get(name) for name in ("cluster_app", "cluster_options"))]
    markers = [sorted(marker.kwargs.items(), key=lambda pair: pair[0]) for marker in markers_of(item)]
    return repr((given, markers, [_definition(item, name) for name in ("cluster_app", "cluster_options")]))


def _definition(item: pytest.Item, name: str) -> int:
    """Identify the fixture of this name that *item* gets: the innermost one."""
    definitions = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {}).get(name)
    if not definitions:  # it asks while it runs
        definitions = item.session._fixturemanager.getfixturedefs(name, item)
    return id(definitions[-1]) if definitions else 0
