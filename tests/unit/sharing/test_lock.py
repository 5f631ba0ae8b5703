"""A lock as its holder sees it: how long a lease lasts for it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from nodecluster_compat.errors import LockLost
from nodecluster_compat.sharing import lock as locks
from nodecluster_compat.sharing.lock import Lock
from nodecluster_compat.sharing.wire import encode


class Primary:
    """Gives every lock after a while."""

    def __init__(self) -> None:
        self.now = 0.0
        self.unlocked = 0

    def wait(self, begin: Callable[[Callable[[], None]], None]) -> None:
        begin(lambda: None)

    def call(self, verb: str, body: bytes, done: Any) -> None:
        if verb == "unlock":
            self.unlocked += 1
            return
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
