"""Messages that were lost: counted where they are, summed up in the primary."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from exchange_peers import LOG, Peer, Timers

from nodecluster_compat.messages.frames import HEADER
from nodecluster_compat.sharing.exchange import Exchange
from nodecluster_compat.sharing.losses import REASONS, Losses
from nodecluster_compat.sharing.wire import encode, encode_publish


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
    assert {reason: exchange.fan_out.lost[reason] for reason in REASONS if exchange.fan_out.lost[reason]} == {
        "slow_handler": 5,
        "slow_worker": 1,
    }
    assert "nonsense" not in exchange.fan_out.lost


def test_a_report_does_not_wait_for_a_process_that_ends() -> None:
    rig = Rig()
    rig.losses.count("server_away", 3)
    rig.losses.tell_now()
    rig.losses.tell_now()
    rig.due.pop()()
    assert rig.told == [{"server_away": 3}]


def test_what_nobody_carries_to_other_hosts_is_lost_there() -> None:
    """The worker that leads has gone, and the next one is not there yet; of a host alone nothing is lost."""
    exchange = Exchange(Timers(), LOG)
    first, second = Peer(1, exchange), Peer(2, exchange)
    payload = encode_publish("t", encode("hello"))[HEADER.size :]
    exchange.publish(payload)
    first.calls("bridge", True)
    exchange.publish(payload)
    assert exchange.fan_out.lost == {}
    exchange.leave(first.id)
    exchange.publish(payload)
    second.calls("bridge", True)
    exchange.publish(payload)
    assert exchange.fan_out.lost == {"server_away": 1}
    assert len(first.asked) + len(second.asked) == 2
