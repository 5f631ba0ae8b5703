"""A worker that has handed on too much for now keeps the rest itself, and nobody waits for ever."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nodecluster_compat.connections.held_channels import HeldChannels
from nodecluster_compat.connections.offers import OfferingEnd


class Rig:
    """A loop whose time the test turns; ``waiting`` connections wait, of which two are enough."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waiting = 0
        self.is_read = True
        self.due: list[tuple[float, Callable[[], None]]] = []
        loop = SimpleNamespace(clock=lambda: self.now, call_later=self.call_later)
        self.held = HeldChannels(cast("Any", loop), self.watch, lambda _: self.waiting if self.waiting >= 2 else 0)
        self.end = cast("OfferingEnd", object())

    def call_later(self, seconds: float, callback: Callable[..., None], *args: Any) -> None:
        self.due.append((self.now + seconds, lambda: callback(*args)))

    def watch(self, end: OfferingEnd, is_read: bool) -> None:
        assert self.is_read is not is_read
        self.is_read = is_read

    def comes(self, waiting: int) -> None:
        self.waiting = waiting
        self.held.came(self.end)

    def turn_for(self, seconds: float) -> None:
        until = self.now + seconds
        while self.due and self.due[0][0] <= until:
            self.now, call = self.due.pop(0)
            call()
        self.now = until


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_no_more_is_read_until_some_were_dealt(rig: Rig) -> None:
    rig.comes(1)
    assert rig.is_read
    rig.comes(2)
    rig.turn_for(1)
    assert not rig.is_read
    rig.waiting = 1
    rig.turn_for(0.01)
    assert rig.is_read
    assert rig.due == []


def test_who_waits_for_somebody_that_waits_for_him_is_read_in_the_end(rig: Rig) -> None:
    """And is not held again before some of it were dealt."""
    rig.comes(2)
    rig.turn_for(4.9)
    assert not rig.is_read
    rig.turn_for(0.2)
    assert rig.is_read
    rig.comes(3)
    assert rig.is_read
    rig.comes(1)
    rig.comes(2)
    assert not rig.is_read


def test_slow_is_not_stuck(rig: Rig) -> None:
    rig.comes(9)
    for waiting in range(8, 3, -1):
        rig.turn_for(4)
        rig.waiting = waiting
        assert not rig.is_read


def test_who_is_gone_is_forgotten(rig: Rig) -> None:
    rig.comes(2)
    rig.held.forget(rig.end)
    rig.turn_for(10)
    assert not rig.is_read  # there is nothing to watch any more
    assert rig.due == []
