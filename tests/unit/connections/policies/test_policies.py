"""Whom each policy chooses, and what settings name which."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from nodecluster_compat.base.records import Connection
from nodecluster_compat.connections.policies import ClientAddress, Weighted, policy_of
from nodecluster_compat.connections.policies.client_address import key_of
from nodecluster_compat.connections.policies.random_of_two import RandomOfTwo
from nodecluster_compat.errors import SettingsError


class Known:
    """Workers 11, 12, 13 in slots 1, 2, 3, with as many connections as a test says."""

    def __init__(self) -> None:
        self.slots = {11: 1, 12: 2, 13: 3}
        self.counts = {11: 0, 12: 0, 13: 0}

    def serving(self) -> Any:
        return self.slots.keys()

    def slot(self, worker_id: int) -> int:
        return self.slots[worker_id]

    def connections(self, worker_id: int) -> int:
        return self.counts[worker_id]

    def asked(self, function: Any) -> Any:
        raise NotImplementedError


def made(setting: object, known: Known) -> Any:
    policy = policy_of(setting)(known)
    for worker_id in known.slots:
        policy.add(worker_id)
    return policy


def dealt(policy: Any, times: int, peer: Any = "") -> list[int | None]:
    """Whoever gets one is idle again at once."""
    chosen = []
    for _ in range(times):
        worker_id = policy.choose(Connection(0, peer))
        chosen.append(worker_id)
        if worker_id is not None:
            policy.add(worker_id)
    return chosen


def test_least_connections_is_round_robin_among_equals() -> None:
    known = Known()
    policy = made("least_connections", known)
    assert dealt(policy, 4) == [11, 12, 13, 11]
    known.counts.update({12: 2, 13: 1})
    assert dealt(policy, 3) == [11, 11, 11]
    known.counts[11] = 1
    assert dealt(policy, 2) == [13, 11]


@pytest.mark.parametrize("name", ["round_robin", "least_connections", "random_of_two", "weighted:2,1"])
def test_only_idle_workers_are_chosen(name: str) -> None:
    policy = made(name, Known())
    policy.remove(12)
    policy.remove(99)
    policy.add(13)
    assert sorted([policy.choose(Connection(0, "")) for _ in range(2)]) == [11, 13]
    assert policy.choose(Connection(0, "")) is None


def test_one_of_two_is_the_one_with_fewer_connections() -> None:
    known = Known()
    known.counts.update({11: 5, 12: 3, 13: 4})
    assert Counter(dealt(made("random_of_two", known), 300)).keys() == {12, 13}


def test_same_seed_makes_the_same_choices() -> None:
    chosen = []
    for seed in (1, 1, 2):
        policy = RandomOfTwo(Known(), seed)
        for worker_id in (11, 12, 13):
            policy.add(worker_id)
        chosen.append(dealt(policy, 40))
    assert chosen[0] == chosen[1] != chosen[2]


def test_random_of_two_spreads() -> None:
    assert min(Counter(dealt(made("random_of_two", Known()), 300)).values()) > 50


def test_weights_are_kept_exactly_and_evenly_mixed() -> None:
    policy = made(Weighted({1: 5, 2: 1}), Known())
    assert dealt(policy, 7) == [11, 11, 12, 11, 13, 11, 11]
    assert Counter(dealt(policy, 70)) == {11: 50, 12: 10, 13: 10}


def test_weight_0_is_a_reserve_and_a_successor_has_the_weight_of_its_slot() -> None:
    known = Known()
    policy = made("weighted:0,0,3", known)
    assert dealt(policy, 3) == [13, 13, 13]
    policy.remove(13)
    assert dealt(policy, 1) == [None]
    del known.slots[13]
    assert set(dealt(policy, 4)) == {11, 12}
    known.slots[21] = 3
    policy.add(21)
    assert dealt(policy, 3) == [21, 21, 21]


def test_a_weighted_worker_that_was_busy_catches_up() -> None:
    known = Known()
    policy = made("weighted:1,1,2", known)
    policy.remove(13)
    assert Counter(dealt(policy, 4)) == {11: 2, 12: 2}
    policy.add(13)
    assert Counter(dealt(policy, 4)) == {13: 4}
    policy.remove(13)
    dealt(policy, 1000)
    policy.add(13)
    assert Counter(dealt(policy, 100))[13] < 75


def test_clients_of_one_address_go_to_one_worker_busy_or_not() -> None:
    known = Known()
    policy = made("client_address", known)
    first = dealt(policy, 1, ("10.0.0.1", 1))[0]
    policy.remove(first)
    assert dealt(policy, 3, ("10.0.0.1", 2)) == [first] * 3
    chosen = Counter(dealt(policy, 1, (f"10.0.{number}.1", 1))[0] for number in range(200))
    assert min(chosen.values()) > 30


def test_only_the_clients_of_a_worker_that_goes_move() -> None:
    known = Known()
    policy = made("client_address", known)
    peers = [(f"10.0.0.{number}", 1) for number in range(100)]
    before = [policy.choose(Connection(0, peer)) for peer in peers]
    del known.slots[12]
    after = [policy.choose(Connection(0, peer)) for peer in peers]
    assert [one for one in zip(before, after, strict=True) if one[0] != 12 and one[0] != one[1]] == []


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        (("10.1.2.3", 5), "10.1.0.0"),
        (("::ffff:10.1.2.3", 5, 0, 0), "10.1.0.0"),
        (("2001:db8:1:2:3::4", 5, 0, 0), "2001:db8:1::"),
        (("fe80::1%eth0", 5, 0, 2), "fe80::"),
        ("/run/socket", None),
        ("", None),
        (("nonsense", 5), None),
    ],
)
def test_a_network_is_what_counts_of_an_address(peer: Any, network: str | None) -> None:
    assert key_of(peer, 16, 56) == (None if network is None else key_of((network, 0), 16, 56))


def test_networks_have_numbers_of_their_own() -> None:
    hosts = ["10.0.0.0", "10.1.0.0", "0.0.0.0", "::", "::1", "0:0:0:1::", "0:0:0:0:1::", "::a00:0"]
    assert len({key_of((host, 0), 32, 128) for host in hosts}) == len(hosts)


def test_of_two_in_one_slot_the_younger_gets_what_is_new() -> None:
    known = Known()
    known.slots[9] = known.slots[21] = 2
    policy = made("client_address", known)
    chosen = {dealt(policy, 1, (f"10.0.{number}.1", 1))[0] for number in range(100)}
    assert chosen == {11, 13, 21}


def test_clients_without_an_address_are_dealt_round_robin() -> None:
    assert dealt(made("client_address", Known()), 4) == [11, 12, 13, 11]


@pytest.mark.parametrize(
    ("value", "same"),
    [
        ("weighted:3,1", Weighted(3, 1)),
        ("client_address", ClientAddress()),
        ("client_address:24,56", ClientAddress(24, 56)),
    ],
)
def test_text_and_objects_name_the_same(value: str, same: object) -> None:
    assert policy_of(value) == same


@pytest.mark.parametrize(
    "value",
    ["", "nonsense", "round_robin:1", "weighted", "weighted:a", "weighted:-1", "weighted:1001", "client_address:33",
     "client_address:24,129", "client_address:1,1,1", 7, True, [], Known],
)  # fmt: skip
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(SettingsError, match="expected"):
        policy_of(value)
