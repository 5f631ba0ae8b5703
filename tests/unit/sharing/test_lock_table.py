"""Locks: never more holders than places, tokens that grow, nothing left of who has ended."""

from __future__ import annotations

from typing import Any

from drawing import drawn
from hypothesis import given, settings
from hypothesis import strategies as st

from nodecluster_compat.sharing.lock_table import Hold, LockTable, Waiter


class Rig:
    def __init__(self) -> None:
        self.elsewhere: set[str] = set()
        self.seized: set[tuple[str, int]] = set()
        self.granted: list[Hold] = []
        self.table = LockTable(100, self.seize, lambda name, place: self.seized.remove((name, place)))

    def seize(self, name: str, place: int) -> bool:
        if name in self.elsewhere:
            return False
        self.seized.add((name, place))
        return True

    def take(self, owner: int, name: str = "x", places: int = 1) -> Waiter:
        return self.table.take(name, places, owner, self.granted.append)


def test_one_after_the_other() -> None:
    """In the order in which they came; the tokens grow; whoever is not the owner releases nothing."""
    rig = Rig()
    for owner in (1, 2, 3):
        rig.take(owner)
    assert [(hold.owner, hold.token) for hold in rig.granted] == [(1, 101)]
    assert not rig.table.release("x", 101, owner=2)
    assert not rig.table.release("x", 99, owner=1)
    assert rig.table.release("x", 101, owner=1)
    assert not rig.table.release("x", 101, owner=1)
    rig.table.ended(2)
    assert [(hold.owner, hold.token) for hold in rig.granted] == [(1, 101), (2, 102), (3, 103)]
    rig.table.ended(3)
    assert (len(rig.table), rig.seized) == (0, set())


def test_who_no_longer_waits() -> None:
    """Is passed over, and cancelling twice, or what was granted, changes nothing."""
    rig = Rig()
    first, second, _ = rig.take(1), rig.take(2), rig.take(3)
    for waiter in (second, second, first):
        rig.table.cancel(waiter)
    rig.table.release("x", 101)
    assert [hold.owner for hold in rig.granted] == [1, 3]


def test_a_semaphore_has_places() -> None:
    """Each holder another one; the one that is free again is given on."""
    rig = Rig()
    for owner in range(4):
        rig.take(owner, places=2)
    assert [hold.place for hold in rig.granted] == [0, 1]
    rig.table.release("x", rig.granted[0].token)
    assert [(hold.owner, hold.place) for hold in rig.granted] == [(0, 0), (1, 1), (2, 0)]


def test_what_another_primary_holds_is_asked_for_again() -> None:
    """Until it is free there."""
    rig = Rig()
    rig.elsewhere.add("x")
    rig.take(1)
    assert rig.granted == []
    assert rig.table.retry()
    rig.elsewhere.clear()
    assert not rig.table.retry()
    assert [hold.owner for hold in rig.granted] == [1]


@settings(max_examples=drawn(100), deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["take", "release", "end", "cancel"]), st.integers(0, 3), st.sampled_from("ab")))
)
def test_whatever_happens(steps: list[tuple[str, int, str]]) -> None:
    """A place has one holder; who waits while one is free does not exist; in the end nothing is left."""
    rig = Rig()
    waiters: list[Waiter] = []
    for step, owner, name in steps:
        if step == "take":
            waiters.append(rig.take(owner, name, places=2 if name == "b" else 1))
        elif step == "end":
            rig.table.ended(owner)
        elif step == "cancel" and waiters:
            rig.table.cancel(waiters[owner % len(waiters)])
        elif step == "release":
            for hold in [one for one in rig.table.held() if one.owner == owner and one.name == name][:1]:
                rig.table.release(name, hold.token)
        check(rig, waiters)
    for owner in range(4):
        rig.table.ended(owner)
    assert (len(rig.table), rig.seized) == (0, set())


def check(rig: Rig, waiters: list[Waiter]) -> None:
    held: list[Any] = [(hold.name, hold.place) for hold in rig.table.held()]
    assert len(held) == len(set(held))
    assert set(held) == rig.seized
    for name, places in (("a", 1), ("b", 2)):
        count = sum(1 for one in held if one[0] == name)
        assert count <= places
        assert count == places or not [one for one in waiters if one.name == name and not one.is_over]
    tokens = [hold.token for hold in rig.granted]
    assert tokens == sorted(set(tokens))
