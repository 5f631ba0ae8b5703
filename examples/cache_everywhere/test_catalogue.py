"""A price that one worker changes is changed in all."""

from __future__ import annotations

from pytest_cluster.waiting import poll


def answers(cluster, item, count=9):
    return [cluster.get(f"/price/{item}").json() for _ in range(count)]


def test_a_change_is_everywhere_when_it_is_answered(cluster):
    assert poll(lambda: cluster.get("/ready").json()["ready"], 20)
    assert {one["price"] for one in answers(cluster, "chair")} == {40}
    assert all(one["from_memory"] for one in answers(cluster, "chair"))
    told = cluster.request("PUT", "/price/chair", body=b'{"price": 55}', headers={"Content-Type": "application/json"})
    assert told.json() == {"forgotten_by": [1, 2, 3], "missing": []}
    assert {one["price"] for one in answers(cluster, "chair")} == {55}


def test_a_sale_empties_every_memory(cluster):
    answers(cluster, "table")
    assert all(one["from_memory"] for one in answers(cluster, "table"))
    assert cluster.request("POST", "/sale").status == 204
    assert poll(lambda: not all(one["from_memory"] for one in answers(cluster, "table", 3)), 20)


def test_a_worker_that_comes_later_has_the_same_store(cluster):
    told = cluster.request("PUT", "/price/lamp", body=b'{"price": 7}', headers={"Content-Type": "application/json"})
    assert told.status == 200
    cluster.worker(1).kill()
    cluster.journal.wait_for("exit", worker=1)
    cluster.wait_listening(3)
    assert {one["price"] for one in answers(cluster, "lamp")} == {7}
