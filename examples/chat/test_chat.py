"""A chat over four workers."""

from __future__ import annotations

import pytest

NAMES = ["Ada", "Bob", "Cyd", "Dan"]


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_members_of_different_workers_hear_each_other(enter, cluster_client, transport):
    members = [enter(name, transport) for name in NAMES]
    assert len({member.workers[0] for member in members}) > 1
    for name, member in zip(NAMES, members, strict=True):
        member.says(f"I am {name}")
    for member in members:
        member.wait(lambda member=member: len(member.said) == 4)
        assert sorted(member.said) == ["I am Ada", "I am Bob", "I am Cyd", "I am Dan"]
    assert cluster_client.get("/members").json() == {"members": NAMES}


def test_members_go_on_when_their_worker_is_killed(enter, cluster):
    ada, bob = enter("Ada"), enter("Bob")
    cluster.worker(ada.workers[0]).kill()
    ada.wait(lambda: len(ada.workers) == 2)
    bob.says("still there?")
    ada.wait(lambda: "still there?" in ada.said)
