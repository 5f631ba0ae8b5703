"""What a worker tells its primary, whatever its engine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from nodecluster_compat._gunicorn.worker.membership import Membership


class Worker:
    """A birth that notes what is said."""

    def __init__(self, due_after: int = 0) -> None:
        self.said: list[Any] = []
        self.member = SimpleNamespace(
            exited_after_disconnect=None,
            announce_due=lambda: self.said.append("due"),
            announce_leaving=lambda: self.said.append("leaving"),
            lose_channel=lambda: self.said.append("lost"),
            finish=lambda: self.said.append("finished"),
            announce_listening=lambda number, address: self.said.append((number, address.address, address.port)),
        )
        heartbeat = SimpleNamespace(note_served=lambda requests: self.said.append(("served", requests)))
        birth: Any = SimpleNamespace(
            member=self.member, heartbeat=heartbeat, receiver=SimpleNamespace(close=lambda: self.said.append("closed"))
        )
        self.membership = Membership(birth, due_after)


def test_due_is_said_once() -> None:
    """At the request that makes it due, or the first look after it."""
    worker = Worker(due_after=3)
    for requests in (1, 2, 4, 5):
        worker.membership.served(requests)
    assert worker.said == ["due"]


def test_worker_without_a_limit_is_never_due() -> None:
    """``max_worker_requests = 0``."""
    worker = Worker()
    worker.membership.served(10**9)
    assert worker.said == []


@pytest.mark.parametrize(("asked", "said"), [(None, ["lost"]), (True, []), (False, [])])
def test_lost_primary_is_told_unless_the_worker_leaves(asked: bool | None, said: list[str]) -> None:
    """The channels of a worker that leaves are closed in order."""
    worker = Worker()
    worker.member.exited_after_disconnect = asked
    worker.membership.primary_gone()
    assert worker.said == said


def test_listening_names_the_socket_and_finishing_closes_both_channels() -> None:
    """Messages first: the primary tells ``disconnect`` by them."""
    worker = Worker()
    listener: Any = SimpleNamespace(getsockname=lambda: ("127.0.0.1", 8000))
    worker.membership.listens(2, listener)
    worker.membership.finish()
    assert worker.said == [(2, "127.0.0.1", 8000), "finished", "closed"]


def test_requests_are_noted_before_the_end_is_said() -> None:
    """Whoever hears of the end judges by them."""
    worker = Worker()
    worker.membership.ends(7)
    worker.membership.leaves()
    assert worker.said == [("served", 7), "leaving"]
