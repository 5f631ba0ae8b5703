"""What a process holds on a server: an answer that comes too late keeps nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from nodecluster_compat.sharing import holds, keeper
from nodecluster_compat.sharing.holds import Places
from nodecluster_compat.sharing.keeper import Claim, Keeper

LOG = logging.getLogger("test")


class Server:
    """Has one place, and takes so long for each answer."""

    def __init__(self) -> None:
        self.now = 0.0
        self.takes = 0.0
        self.asked: list[str] = []

    def ask(self, job: Callable[[Any], object]) -> None:
        job(self)

    def eval(self, script: str, *_: object) -> Any:
        self.now += self.takes
        names = {holds._TAKE: "take", holds._RENEW: "renew", holds._FREE: "free"}
        self.asked.append(names[script])
        return [0, 7] if script == holds._TAKE else 1


class Rig:
    def __init__(self) -> None:
        self.server: Any = Server()
        self.told: list[Any] = []
        self.keeper = Keeper(self.server, LOG, clock=lambda: self.server.now)
        self.keeper._runs = True  # the test is its thread
        self.claim = Claim(
            what="x",
            places=Places(("key",), "counter"),
            value="host:0:1",
            seconds=5.0,
            is_renewed=True,
            got=lambda _, token: self.told.append(token),
            lost=lambda: self.told.append("lost"),
        )
        self.keeper.claim(self.claim)
        self.turn()

    def turn(self) -> None:
        self.keeper._serve(self.claim)


def test_a_hold_is_renewed() -> None:
    rig = Rig()
    rig.server.now, rig.server.takes = 2.0, 2.9
    rig.turn()
    assert (rig.told, rig.claim.until, rig.keeper.holds(rig.claim)) == ([7], 7.0, True)


@pytest.mark.parametrize(
    ("began", "takes", "asked"), [(2.0, 3.0, ["take", "renew", "free"]), (5.0, 0, ["take", "free"])]
)
def test_what_is_renewed_too_late_is_lost(began: float, takes: float, asked: list[str]) -> None:
    """For a moment it was not held, so whoever has it must hear that; the server hears so, too."""
    rig = Rig()
    rig.server.now, rig.server.takes = began, takes
    rig.turn()
    assert (rig.told, rig.keeper.holds(rig.claim)) == ([7, "lost"], False)
    assert rig.server.asked == asked


def test_what_is_held_is_renewed_between_jobs() -> None:
    """However many wait, and each may bring the next one."""
    rig = Rig()
    begun: list[float] = []

    def job(_: object) -> None:
        rig.server.now += 1.0
        begun.append(rig.server.now)
        if len(begun) < 20:
            rig.keeper.do(job)
        else:
            rig.keeper.release(rig.claim)

    for _ in range(10):
        rig.keeper.do(job)
    rig.keeper._run()
    assert len(begun) == 29
    assert rig.told == [7]
    assert rig.server.asked.count("renew") > 5


def test_no_more_jobs_wait_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for another one hears that; what must not be lost is kept."""
    monkeypatch.setattr(keeper, "_MOST_JOBS", 2)
    rig = Rig()
    done: list[str] = []
    for name in ("one", "two", "three"):
        rig.keeper.do(lambda _, name=name: done.append(name), failed=lambda name=name: done.append(f"no {name}"))
    rig.keeper.do(lambda _: done.append("kept"), persists=True)
    assert done == ["no three"]
    rig.keeper.release(rig.claim)
    rig.keeper._run()
    assert done == ["no three", "one", "two", "kept"]
