"""What only shows with more than one worker."""

from __future__ import annotations

import http.client

import pytest

from pytest_cluster import assert_distribution, assert_no_request_lost


def test_visits_are_counted_once(cluster_client):
    """A counter is right whoever counts."""
    assert [cluster_client.post("/visits").text for _ in range(6)] == ["1", "2", "3", "4", "5", "6"]


@pytest.mark.cluster(workers=3)
def test_everybody_gets_the_same_share(cluster, cluster_client):
    hits = cluster_client.get_many("/version", 30)
    assert_distribution(hits, workers=[worker.id for worker in cluster.workers])


def test_crash_in_the_middle_of_a_payment(cluster, cluster_client, cluster_faults, rows):
    """Between the charge and the order: the customer pays again, and has paid once."""
    key = {"Idempotency-Key": "order 1"}
    with cluster_faults.hold("shop:confirm") as gate:
        payment = cluster_client.submit("/pay", "POST", headers=key)
        (arrival,) = gate.wait_reached()
        with cluster.expect("exit", worker=arrival.worker):
            cluster.worker(arrival.worker).kill()
    assert isinstance(payment.exception(), ConnectionError)
    assert (rows("charges"), rows("orders")) == (1, 0)

    assert cluster_client.post("/pay", headers=key).text == "paid"
    assert (rows("charges"), rows("orders")) == (1, 1)


@pytest.mark.cluster(workers=3)
def test_rolling_deploy(cluster, cluster_client, version):
    """Requests all the time, none of them lost, and afterwards nobody runs the old code."""
    version.write_text("2")
    with cluster_client.load("/version", concurrency=2) as hits:
        report = cluster.reload()
    assert report.succeeded
    assert_no_request_lost(hits)
    assert {cluster_client.get("/version").text for _ in range(6)} == {"2"}


def test_deploy_of_what_does_not_boot(cluster, cluster_client, version):
    """The old workers go on, and the reload says why it failed."""
    version.unlink()
    report = cluster.reload()
    assert not report.succeeded
    assert cluster_client.get("/version").text == "1"


def test_session_is_the_same_whoever_answers(cluster, cluster_client):
    """It is in the cookie, and the key that signs it is one for all: nothing need stick to a worker."""
    answer = cluster_client.post("/login", json={"name": "Ada"})
    cookie = {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}
    answers = [cluster_client.get("/me", headers=cookie) for _ in range(2 * len(cluster.workers))]
    assert {one.text for one in answers} == {"Ada"}
    assert {one.worker for one in answers} == {worker.id for worker in cluster.workers}


def test_connection_stays_with_its_worker(cluster):
    """What is dealt is connections: requests on one connection go to one worker."""
    connection = http.client.HTTPConnection(cluster.host, cluster.port)
    seen = set()
    for _ in range(4):
        connection.request("GET", "/version")
        answer = connection.getresponse()
        answer.read()
        seen.add(answer.headers["X-Cluster-Worker"])
    connection.close()
    assert len(seen) == 1
