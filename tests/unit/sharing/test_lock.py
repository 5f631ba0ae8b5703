"""A lock as its holder sees it: how long a lease lasts for it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from nodecluster_compat.base.arguments import MOST_SECONDS
from nodecluster_compat.errors import LockLost
from nodecluster_compat.sharing import lock as locks
from nodecluster_compat.sharing.lock import Lock
from nodecluster_compat.sharing.lock_desk import LockWish
from nodecluster_compat.sharing.wire import decode, encode


class Primary:
    """Gives every lock after a while."""

    def __init__(self) -> None:
        self.now = 0.0
        self.unlocked = 0
        self.asked: list[LockWish] = []

    def wait(self, begin: Callable[[Callable[[], None]], None]) -> None:
        begin(lambda: None)

    def call(self, verb: str, body: bytes, done: Any) -> None:
        if verb == "unlock":
            self.unlocked += 1
            return
        self.asked.append(decode(body, LockWish))
        self.now += 60.0
        done(None, encode((7, self.now + 3.0)))


@pytest.fixture
def primary(monkeypatch: pytest.MonkeyPatch) -> Primary:
    made = Primary()
    monkeypatch.setattr(locks, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


def lock_of(primary: Any) -> Lock:
    return Lock(lambda: primary, "x", lease=3.0)


def test_who_has_waited_longer_than_its_lease_holds_the_lock(primary: Primary) -> None:
    with lock_of(primary) as lock:
        assert (lock.token, lock.is_held) == (7, True)
        primary.now += 2.9
        assert lock.is_held
    assert primary.unlocked == 1


def test_a_lease_that_has_ended_is_said_to_have(primary: Primary) -> None:
    lock = lock_of(primary)
    lock.acquire()
    primary.now += 3.0
    assert not lock.is_held
    with pytest.raises(LockLost):
        lock.release()


@pytest.mark.parametrize("lease", [1e300, 10**400, 2**63], ids=["float", "whole", "bits"])
def test_a_lease_without_a_foreseeable_end(primary: Primary, lease: float) -> None:
    """Lasts as long as Redis can count; one that it refuses would keep whatever else this worker holds from lasting."""
    with Lock(lambda: primary, "x", lease=lease, timeout=lease):
        assert [wish.lease for wish in primary.asked] == [MOST_SECONDS]
    assert round(MOST_SECONDS * 1000) < 2**63
