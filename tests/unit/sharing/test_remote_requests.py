"""Requests between hosts: who must answer, who is missing and why, what is no message."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from nodecluster_compat.sharing.outcomes import Answer, Gathered, Missing, RemoteWorker, key_of
from nodecluster_compat.sharing.remote_requests import RemoteReply, RemoteRequest, RemoteRequests
from nodecluster_compat.sharing.wire import decode, encode


class Host:
    def __init__(self, name: str) -> None:
        self.asked: list[tuple[bytes, Callable[[Gathered], None]]] = []
        self.came: list[Gathered] = []
        self.requests = RemoteRequests(name, lambda body, answered: self.asked.append((body, answered)))

    def asks(self, *hosts: str) -> tuple[int, bytes]:
        return self.requests.begin(hosts, b"question", self.came.append)


def here(*workers: int) -> Gathered:
    return Gathered([Answer(worker, Raw(encode(worker * 10))) for worker in workers], [])


def test_the_order_of_processes() -> None:
    """Those of this host, which are numbers, then those of others: what sorts its replies does so with many hosts."""
    far = [RemoteWorker("a", 2), RemoteWorker("b", 1), RemoteWorker("b", 2)]
    for shuffled in permutations([1, 2, *far]):
        assert sorted(shuffled) == [1, 2, *far]
    assert (max(3, far[0]), min(far[0], 3)) == (far[0], 3)
    with pytest.raises(TypeError):
        sorted([far[0], "text"])  # type: ignore[type-var]


def test_all_answer() -> None:
    """Each host with its workers; whoever is late, or was not asked, is ignored."""
    one, two, three = (Host(name) for name in ("one", "two", "three"))
    _, request = one.asks("two", "three")
    replies: list[tuple[str, bytes]] = []
    for host in (one, two, three):
        host.requests.requested(request, lambda to, data: replies.append((to, data)))
    assert one.asked == []
    for host, workers in ((two, (1, 2)), (three, (7,))):
        [(body, answered)] = host.asked
        assert body == b"question"
        answered(here(*workers))
    for to, data in [*replies, *replies]:
        assert to == "one"
        one.requests.replied(data)
    [gathered] = one.came
    answers = {key_of(answer): decode(bytes(answer.value)) for answer in gathered.answers}
    assert answers == {("two", 1): 10, ("two", 2): 20, ("three", 7): 70}
    assert gathered.missing == []


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        (lambda requests, number: requests.expire(number), "late"),
        (lambda requests, number: requests.fail(number, "away"), "failed"),
        (lambda requests, number: requests.present(["two"]), "gone"),
        (lambda requests, number: requests.close(), "failed"),
    ],
)
def test_who_is_missing(end: Callable[[RemoteRequests, int], None], cause: str) -> None:
    """What came is there, and why the rest is not; once."""
    one = Host("one")
    number, _ = one.asks("two", "three")
    missing = Missing(4, "late", "slept")
    one.requests.replied(encode(RemoteReply(1, "two", number, Gathered(here(3).answers, [missing]))))
    end(one.requests, number)
    end(one.requests, number)
    one.requests.replied(encode(RemoteReply(1, "three", number, here(1))))
    [gathered] = one.came
    assert [key_of(answer) for answer in gathered.answers] == [("two", 3)]
    assert [(key_of(gone), gone.cause) for gone in gathered.missing] == [(("two", 4), "late"), (("three", 0), cause)]


GOOD = encode(RemoteRequest(1, "two", 5, b"question")), encode(RemoteReply(1, "two", 5, here(1, 2)))


@given(
    st.one_of(
        st.binary(max_size=200),
        st.builds(lambda data, end: data[:end], st.sampled_from(GOOD), st.integers(0, 60)),
        st.builds(lambda data, at, new: data[:at] + new, st.sampled_from(GOOD), st.integers(0, 60), st.binary()),
        st.sampled_from([encode(RemoteRequest(2, "two", 1, b"")), encode([1, 2]), encode(None)]),
    )
)
def test_what_is_no_message(data: bytes) -> None:
    """Of another version, cut off, or anything: counted, and nobody is asked or answered by it but by a whole one."""
    one = Host("one")
    sent: list[tuple[str, bytes]] = []
    one.requests.requested(data, lambda to, reply: sent.append((to, reply)))
    one.requests.replied(data)
    assert one.came == []
    assert one.requests.foreign + len(one.asked) >= 1
    for _, reply in sent:  # which says that it was not understood
        assert decode(reply, RemoteReply).gathered.answers == []


def test_another_version_is_refused_and_nobody_waits_for_it() -> None:
    """As in a rolling upgrade: whoever asks hears of it at once, whichever of the two does not understand."""
    lost: list[str] = []
    new = RemoteRequests("new", lambda *_: None, lost.append)
    old, third = Host("old"), Host("third")
    number, _ = old.asks("new", "third")
    replies: list[tuple[str, bytes]] = []
    new.requested(encode([0, "old", number, b"question", "and more"]), lambda *reply: replies.append(reply))
    [(to, reply)] = replies
    assert (to, lost) == ("old", ["foreign"])
    old.requests.replied(reply)
    assert old.came == []
    old.requests.replied(encode([2, "third", number]))
    old.requests.replied(encode([2, "third", number]))
    assert [(one.host, one.cause) for one in old.came[0].missing] == [("new", "failed"), ("third", "failed")]
    third.requests.replied(encode([2, "nobody", 77, {}]))
    assert (third.came, third.requests.foreign) == ([], 1)
