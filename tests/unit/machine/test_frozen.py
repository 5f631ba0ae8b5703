"""What a template has frozen stays so in its children, and nothing else is frozen there."""

from __future__ import annotations

import pytest

from nodecluster_compat.machine import frozen


class Collector:
    """Stands for ``gc``: ten objects, of which some are frozen."""

    def __init__(self, is_frozen: int) -> None:
        self.is_frozen = is_frozen

    def freeze(self) -> None:
        self.is_frozen = 10

    def unfreeze(self) -> None:
        self.is_frozen = 0

    def get_freeze_count(self) -> int:
        return self.is_frozen


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Collector:
    one = Collector(0)
    monkeypatch.setattr(frozen, "gc", one)
    monkeypatch.setattr(frozen._ThisProcess, "frozen", 0)
    return one


def test_without_a_template_it_is_the_collectors(collector: Collector) -> None:
    frozen.freeze()
    assert collector.is_frozen == 10
    frozen.unfreeze()
    assert collector.is_frozen == 0


def test_child_of_a_template_freezes_nothing_and_leaves_what_is_frozen(collector: Collector) -> None:
    collector.is_frozen = 7
    frozen.leave_frozen()
    frozen.freeze()
    frozen.unfreeze()
    assert collector.is_frozen == 7


def test_what_somebody_else_has_frozen_there_is_thawed(collector: Collector) -> None:
    """An application's own ``gc.freeze()``."""
    collector.is_frozen = 7
    frozen.leave_frozen()
    collector.freeze()
    frozen.unfreeze()
    assert collector.is_frozen == 0
