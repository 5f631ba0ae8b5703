"""Messages that were lost: counted where they are, summed up in the primary."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from exchange_peers import LOG, Peer, Timers

from nodecluster_compat.sharing.exchange import Exchange
from nodecluster_compat.sharing.losses import REASONS, Losses


class Rig:
    def __init__(self) -> None:
        self.due: list[Callable[[], None]] = []
        self.told: list[Mapping[str, int]] = []
        self.runs = self.hears = True
        self.losses = Losses(self.later, self.tell)

    def later(self, _: float, call: Callable[[], None]) -> bool:
        if self.runs:
            self.due.append(call)
        return self.runs

    def tell(self, counts: Mapping[str, int]) -> bool:
        if self.hears:
            self.told.append(dict(counts))
        return self.hears


def test_a_flood_is_told_in_one_report() -> None:
    rig = Rig()
    for _ in range(1000):
        rig.losses.count("slow_handler")
    rig.losses.count("server_away", 5)
    assert len(rig.due) == 1
    rig.due.pop()()
    assert rig.told == [{"slow_handler": 1000, "server_away": 5}]
    rig.losses.count("slow_handler")
    rig.due.pop()()
    assert rig.told[1:] == [{"slow_handler": 1}]


def test_nothing_is_forgotten_by_who_cannot_tell_yet() -> None:
    rig = Rig()
    rig.runs = False
    rig.losses.count("foreign")
    rig.runs = True
    rig.losses.count("foreign")
    rig.hears = False
    rig.due.pop()()
    rig.hears = True
    rig.losses.count("foreign")
    rig.due.pop()()
    assert rig.told == [{"foreign": 3}]


def test_the_primary_sums_up_what_workers_say_and_believes_no_nonsense() -> None:
    exchange = Exchange(Timers(), LOG)
    one, other = Peer(1, exchange), Peer(2, exchange)
    one.calls("lost", {"slow_handler": 2, "nonsense": 7})
    other.calls("lost", {"slow_handler": 3, "server_away": -4})
    other.reads = False
    other.calls("subscribe", "news")
    one.exchange.publish(b"\x00\x04news\x01")
    assert {reason: exchange.lost[reason] for reason in REASONS if exchange.lost[reason]} == {
        "slow_handler": 5,
        "slow_worker": 1,
    }
    assert "nonsense" not in exchange.lost
