"""How long who publishes without a pause is held up, by a clock that a test sets."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nodecluster_compat.sharing.publishing_pace import EASE_SECONDS, WINDOW, WINDOW_SECONDS, PublishingPace


class Rig:
    def __init__(self) -> None:
        self.now = 100.0
        self.words: list[Callable[[], None]] = []
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.pace = PublishingPace(self.words.append, lambda *timer: self.timers.append(timer), lambda: self.now)
        self.going: list[str] = []

    def publish(self, count: int, seconds: float = 0.0) -> int:
        """Publish so many in so long; return how many were to be held up."""
        held = 0
        for _ in range(count):
            self.now += seconds / count
            held += self.pace.counts()
        return held

    def hold(self, who: str) -> None:
        self.pace.hold(lambda: self.going.append(who))


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_who_takes_its_time_is_never_held_up(rig: Rig) -> None:
    assert rig.publish(WINDOW * 5, WINDOW_SECONDS * 5.1) == 0
    assert rig.publish(WINDOW - 1) == 0


def test_a_pause_is_as_long_as_the_primary_has_taken(rig: Rig) -> None:
    """All that publish meanwhile are held up with the first, and go on together, with new credit."""
    assert rig.publish(WINDOW) == 1
    rig.hold("one")
    assert rig.publish(1) == 1
    rig.hold("other")
    rig.now += 0.003
    [word] = rig.words
    word()
    (most, _), (rest, go_on) = rig.timers
    assert (most, rest, rig.going) == (EASE_SECONDS, pytest.approx(0.003), [])
    go_on()
    assert rig.going == ["one", "other"]
    assert rig.publish(WINDOW - 1) == 0


def test_nobody_waits_longer_than_a_moment_and_what_comes_late_is_nothing(rig: Rig) -> None:
    """The primary's word on what was published before the last pause ends no later one."""
    rig.publish(WINDOW)
    rig.hold("one")
    _, too_late = rig.timers[0]
    too_late()
    assert (rig.going, rig.publish(WINDOW)) == (["one"], 1)
    rig.hold("two")
    rig.words[0]()
    too_late()
    assert (rig.going, len(rig.timers)) == (["one"], 2)
    rig.now += EASE_SECONDS * 3
    rig.words[1]()
    assert rig.timers[-1][0] == EASE_SECONDS
