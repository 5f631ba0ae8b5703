"""What a template has frozen stays so in its children, and nothing else is frozen there."""

from __future__ import annotations

import gc

import pytest

from nodecluster_compat.machine import frozen


class Collector:
    """Stands for ``gc``: what is frozen, and whatever else there is."""

    def __init__(self) -> None:
        self.is_frozen: set[str] = set()

    def freeze(self) -> None:
        self.is_frozen = {"template", "own"}

    def unfreeze(self) -> None:
        self.is_frozen = set()

    def get_objects(self) -> list[object]:
        return [] if "own" in self.is_frozen else [object(), frozen._ThisProcess.probe]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Collector:
    one = Collector()
    monkeypatch.setattr(frozen, "gc", one)
    monkeypatch.setattr(frozen._ThisProcess, "probe", None)
    return one


def test_without_a_template_it_is_the_collectors(collector: Collector) -> None:
    frozen.freeze()
    assert collector.is_frozen == {"template", "own"}
    frozen.unfreeze()
    assert collector.is_frozen == set()


def test_child_of_a_template_freezes_nothing_and_leaves_what_is_frozen(collector: Collector) -> None:
    collector.is_frozen = {"template"}
    frozen.leave_frozen()
    frozen.freeze()
    frozen.unfreeze()
    assert collector.is_frozen == {"template"}


def test_what_somebody_else_has_frozen_there_is_thawed(collector: Collector) -> None:
    """An application's own ``gc.freeze()``."""
    collector.is_frozen = {"template"}
    frozen.leave_frozen()
    collector.freeze()
    frozen.unfreeze()
    assert collector.is_frozen == set()


def test_the_collector_of_python_shows_the_probe_until_it_is_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen._ThisProcess, "probe", None)
    frozen.leave_frozen()
    probe = frozen._ThisProcess.probe
    assert any(one is probe for one in gc.get_objects())
    was_frozen = gc.get_freeze_count() > 0
    gc.freeze()
    try:
        assert not any(one is probe for one in gc.get_objects())
    finally:
        if not was_frozen:
            gc.unfreeze()
