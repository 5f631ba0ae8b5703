"""What only shows with more than one worker, and with more than one thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from pytest_cluster import assert_no_request_lost


def ordered(cluster, count):
    """So many orders at once; their numbers."""
    with ThreadPoolExecutor(count) as clients:
        answers = clients.map(lambda _: cluster.get("/order/chair").json(), range(count))
        return sorted(answer["order"] for answer in answers)


def test_no_number_is_given_twice_and_none_is_left_out(cluster):
    """Over three workers with four threads each."""
    first = ordered(cluster, 24)
    assert first == list(range(first[0], first[0] + 24))


def test_refused_order_has_no_number(cluster):
    before = cluster.get("/order/chair").json()["order"]
    assert cluster.get("/order/unobtainable").json() == {"refused": "unobtainable"}
    assert cluster.get("/order/chair").json()["order"] == before + 1


def test_supplier_that_hangs_holds_up_nobody_else(cluster, cluster_faults):
    """Each worker has three threads left."""
    with cluster_faults.hold("orders:ask_supplier") as supplier, ThreadPoolExecutor(3) as clients:
        waiting = [clients.submit(cluster.get, "/order/chair") for _ in range(3)]
        supplier.wait_reached(3)
        assert {cluster.get("/").json()["worker"] for _ in range(9)} == {1, 2, 3}
        supplier.release()
        assert all(one.result().status == 200 for one in waiting)


def test_deployment_loses_no_order(cluster, cluster_client):
    """Orders all the time, in old and new workers; every one has its number."""
    with cluster_client.load("/order/chair", concurrency=4) as hits:
        report = cluster.reload()
    assert report.succeeded
    assert_no_request_lost(hits)
