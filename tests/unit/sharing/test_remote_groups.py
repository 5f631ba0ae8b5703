"""Groups that span hosts: two primaries, and a server between them that is a list."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from exchange_peers import LOG, Peer, Timers

from nodecluster_compat.sharing.exchange import Exchange
from nodecluster_compat.sharing.group_desk import ALL_OTHERS, GroupDesk
from nodecluster_compat.sharing.remote_groups import FIRST_REMOTE, RemoteGroups, is_remote
from nodecluster_compat.sharing.remote_posts import RemotePosts
from nodecluster_compat.sharing.wire import decode, encode


class Host:
    """A primary with three workers; the first carries."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.exchange = Exchange(Timers(), LOG)
        self.groups = GroupDesk(self.exchange)
        self.far: Any = SimpleNamespace(carrier=1, when_carried=[])
        RemoteGroups(self.exchange, self.groups, self.far)
        self.workers = {number: Peer(number, self.exchange) for number in (1, 2, 3)}
        self.sent: list[bytes] = []
        around: Any = SimpleNamespace(side=self, losses=SimpleNamespace(count=lambda reason: None))
        self.posts = RemotePosts(around, "test", name)
        self.others: dict[bytes, Any] = {}
        bridge: Any = SimpleNamespace(others=self.others, publish_on=lambda data, _: self.sent.append(data))
        self.posts.begin(bridge)

    def tell(self, verb: str, body: bytes) -> bool:
        """The carrier asks its primary."""
        self.workers[1].calls(verb, decode(body))
        return True

    def carries(self) -> list[bytes]:
        """Let the carrier publish what its primary has told it."""
        for verb, told in list(self.workers[1].sent):
            if verb == "carry groups":
                self.workers[1].sent.remove((verb, told))
                self.posts.tell(told)
        sent, self.sent = self.sent, []
        return sent

    def hears(self, sent: list[bytes]) -> None:
        for data in sent:
            self.others[b"nodecluster:test:groups"](data)

    def heard(self, worker: int) -> list[Any]:
        """Return what a worker was told since: sets of members, and (sender, body)."""
        sent = self.workers[worker].sent
        told = [set(one[1]) if verb == "members" else (one[0], one[2]) for verb, one in sent if verb != "carry groups"]
        sent.clear()
        return told


@pytest.fixture
def hosts() -> tuple[Host, Host]:
    one, other = Host("one"), Host("other")
    for host, numbers in ((one, (1, 2)), (other, (2, 3))):
        for number in numbers:
            host.workers[number].calls("join", "g")
    exchange_all(one, other)
    for host in (one, other):
        for worker in host.workers:
            host.heard(worker)
    return one, other


def exchange_all(one: Host, other: Host) -> None:
    first, second = one.carries(), other.carries()
    one.hears(first + second)
    other.hears(first + second)


def members_of(host: Host) -> set[int]:
    far = host.groups.remote
    assert far is not None
    return set(far.members("g"))


def test_members_elsewhere_have_ids_of_their_own(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    assert members_of(one) == {FIRST_REMOTE, FIRST_REMOTE + 1}
    assert all(map(is_remote, members_of(other)))
    one.workers[3].calls("join", "g")
    exchange_all(one, other)
    assert one.heard(3) == [{1, 2, 3, *members_of(one)}]
    assert other.heard(2) == [{2, 3, *members_of(other)}]
    assert len(members_of(other)) == 3


def test_a_post_to_all_reaches_all_hosts_once(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    one.workers[2].calls("post", [ALL_OTHERS, "g", b"hello"])
    exchange_all(one, other)
    assert (one.heard(1), one.heard(2)) == ([(2, b"hello")], [])
    [(sender, body)] = other.heard(2)
    assert (sender in members_of(other), body) == (True, b"hello")
    assert other.heard(3) == [(sender, b"hello")]
    assert other.heard(1) == []  # it takes no part, though it carries


def test_an_answer_goes_to_the_one_that_has_asked(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    one.workers[2].calls("post", [ALL_OTHERS, "g", b"who?"])
    exchange_all(one, other)
    one.heard(1)
    [(sender, _)] = other.heard(3)
    other.heard(2)
    other.workers[3].calls("post", [sender, "g", b"I"])
    exchange_all(one, other)
    assert (one.heard(1), other.heard(2)) == ([], [])
    [(answering, body)] = one.heard(2)
    assert (answering in members_of(one), body) == (True, b"I")


def test_who_leaves_elsewhere_is_no_member_any_more(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    before = members_of(one)
    other.exchange.leave(3)
    exchange_all(one, other)
    [left] = one.heard(1)
    assert left == {1, 2, *members_of(one)}
    assert len(members_of(one)) == 1
    one.posts.present([])
    one.posts.present([])
    assert members_of(one) == set()
    assert one.heard(2)[-1] == {1, 2}
    other.posts.tell_table_again()  # it was silent for a while
    exchange_all(one, other)
    assert members_of(one).isdisjoint(before)
    assert len(members_of(one)) == 1


def test_host_that_is_heard_is_there_before_it_is_known_to_be(hosts: tuple[Host, Host]) -> None:
    """It has just begun: what it says comes by another way than who is there."""
    one, other = hosts
    before = members_of(one)
    for _ in range(3):
        one.posts.present([])
        other.posts.tell_table_again()
        exchange_all(one, other)
        assert members_of(one) == before
    assert one.heard(2) == []


def test_who_posts_before_it_is_known_gets_its_answer(hosts: tuple[Host, Host]) -> None:
    one, _ = hosts
    one.hears([encode([1, "stranger", ["post", "g", 1, "", 0, b"who?"]])])
    [(sender, body)] = one.heard(2)
    assert (is_remote(sender), body) == (True, b"who?")
    one.heard(1)
    one.workers[2].calls("post", [sender, "g", b"I"])
    [data] = one.carries()
    assert one.heard(1) == []
    assert decode(data)[2] == ["post", "g", 2, "stranger", 1, b"I"]


def test_a_post_for_another_host_is_not_ours(hosts: tuple[Host, Host]) -> None:
    one, _ = hosts
    for host, heard in (("third", []), ("one", [b"hello"])):
        one.hears([encode([1, "other", ["post", "g", 2, host, 2, b"hello"]])])
        assert [body for _, body in one.heard(2)] == heard
    assert one.heard(1) == []


def test_nonsense_is_counted_and_nothing_else(hosts: tuple[Host, Host]) -> None:
    one, _ = hosts
    one.hears([b"", b"\x01", encode([2, "other", ["table", {}]]), encode([1, "other", 5]), encode([1, "other", ["x"]])])
    assert (one.posts.foreign, one.exchange.fan_out.lost["foreign"]) == (3, 2)
    one.workers[2].calls("carried groups", encode(["other", ["table", {}]]))  # it does not carry
    assert len(members_of(one)) == 2


def test_what_is_posted_while_nobody_carries_is_counted(hosts: tuple[Host, Host]) -> None:
    """A table is not lost: the next one that carries is told."""
    one, _ = hosts
    one.far.carrier = None
    one.workers[3].calls("join", "g")
    assert one.exchange.fan_out.lost == {}
    one.workers[2].calls("post", [ALL_OTHERS, "g", b"hello"])
    assert one.exchange.fan_out.lost == {"server_away": 1}
