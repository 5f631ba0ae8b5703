"""A chat over three workers."""

from __future__ import annotations

import socket

import pytest
from websockets.exceptions import ConnectionClosed


def test_members_of_different_workers_hear_each_other(enter):
    """And in the same order."""
    members = [enter("tea") for _ in range(6)]
    assert len({member.worker for member in members}) == 3
    for number, member in enumerate(members):
        member.says(f"{number}")
    heard = [[member.hears() for _ in members] for member in members]
    assert sorted(heard[0]) == ["0", "1", "2", "3", "4", "5"]
    assert all(order == heard[0] for order in heard)


def test_other_rooms_hear_nothing(enter, cluster, cluster_client):
    """What is said by request is heard as well, and read by request from any worker."""
    tea, coffee = enter("tea"), enter("coffee")
    cluster_client.post("/rooms/tea/hello")
    assert tea.hears() == "hello"
    tea.says("again")
    assert tea.hears() == "again"
    coffee.says("alone")
    assert coffee.hears() == "alone"
    for _ in cluster.workers:
        cluster.wait_for(
            lambda cluster: "again" in cluster.get("/rooms/tea").json() or None, reason="every worker to have heard"
        )


def test_member_that_does_not_read_holds_up_nobody(enter):
    """Not those of its own worker either: megabytes are said, and heard."""
    stuck, *others, reader = (enter("tea") for _ in range(4))
    assert stuck.worker == reader.worker
    for other in others:
        other.socket.close()
    text = "x" * 200_000
    for _ in range(100):
        reader.says(text)
        assert reader.hears() == text
    stuck.socket.socket.shutdown(socket.SHUT_RDWR)


@pytest.mark.cluster(fresh=True)
def test_reload_tells_members_to_come_back(enter, cluster):
    """Close code 1012 at once, and not at the end of graceful_timeout."""
    member = enter("tea")
    assert cluster.reload().succeeded
    with pytest.raises(ConnectionClosed) as closed:
        member.hears()
    assert closed.value.rcvd.code == 1012
    again = enter("tea")
    again.says("back")
    assert again.hears() == "back"


@pytest.mark.cluster(fresh=True)
def test_crash_of_a_worker_ends_its_own_members_only(enter, cluster):
    members = [enter("tea") for _ in range(3)]
    victim = members[0]
    cluster.worker(int(victim.worker.split()[1])).kill()
    with pytest.raises(ConnectionClosed):
        victim.hears()
    members[1].says("who was that?")
    assert [member.hears() for member in members[1:]] == ["who was that?"] * 2
