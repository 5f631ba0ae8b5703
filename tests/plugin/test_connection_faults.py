"""Faults of the connections that the primary deals, on real clusters of every kind."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any

import pytest
from kinds import every_kind

from pytest_cluster import Cluster, ClusterFactory, FaultError, Faults, OptionError, WaitTimeout
from pytest_cluster.clusters.chaos import inject
from pytest_cluster.faults.chaos_plan import ChaosFault

pytestmark = pytest.mark.cluster(app="shop:app", fresh=True)


def answered(cluster: Cluster) -> bool:
    """Whether a new connection is served; one that is lost sees its end."""
    try:
        return cluster.get("/").ok
    except ConnectionError:
        return False


@pytest.mark.table(quick=["threads"])
@every_kind
@pytest.mark.cluster(workers=2)
def test_lost_and_held(cluster: Cluster, cluster_faults: Faults) -> None:
    """No application sees what is lost; what is held comes when the test says so, and its worker goes on meanwhile."""
    first, second = cluster.workers
    cluster_faults.drop_connections(1, worker=first)
    assert sorted([answered(cluster), answered(cluster)]) == [False, True]
    assert first.requests_served + second.requests_served == 1
    assert all(answered(cluster) for _ in range(4))
    cluster_faults.undo()

    with cluster_faults.hold("connection") as gate:
        answer = cluster.client.submit("/")
        (arrival,) = gate.wait_reached()
        holder = cluster.worker(arrival.worker)
        assert holder.run(os.getpid) == arrival.pid
        assert (holder.tally.in_flight, answer.done()) == (0, False)
        gate.release()
        assert answer.result().worker == holder.id
        with pytest.raises(WaitTimeout, match="no worker has begun it; injected: hold of connection in every worker\n"):
            cluster.get("/", timeout=0.01)
    assert [one.detail for one in cluster.journal if one.injected] == [
        "loss of 1 connection in worker 1",
        "end of loss of 1 connection in worker 1",
        "hold of connection in every worker",
        "end of hold of connection in every worker",
    ]


@pytest.mark.table(quick=["threads"])
@every_kind
@pytest.mark.cluster(workers=1)
def test_late_and_out_of_order(cluster: Cluster, cluster_faults: Faults) -> None:
    (worker,) = cluster.workers
    cluster_faults.at("connection", "noted:note", times=None)
    cluster_faults.reorder_connections(3, seconds=60)
    older = cluster.client.submit("/visits")
    cluster.wait_for(lambda _: worker.run("noted:count") == 1, reason="the older connection")
    newer = cluster.client.submit("/visits")
    cluster.wait_for(lambda _: worker.run("noted:count") == 2, reason="the newer connection")
    assert not older.done()
    cluster_faults.undo()
    assert {older.result().text, newer.result().text} == {"1", "2"}

    cluster_faults.delay_connections(0.05)
    before = time.monotonic()
    assert answered(cluster)
    assert time.monotonic() - before >= 0.05


@pytest.mark.cluster(workers=1)
def test_order_is_another_one(cluster: Cluster, cluster_faults: Faults) -> None:
    """Both requests are there before either connection comes."""
    (worker,) = cluster.workers
    cluster_faults.at("connection", "noted:note", times=None)
    cluster_faults.reorder_connections(3, seconds=60)
    answers = []
    for number in (1, 2):
        client = cluster.connect()
        client.sendall(b"GET /visits HTTP/1.0\r\n\r\n")
        answers.append(client)
        cluster.wait_for(lambda _, number=number: worker.run("noted:count") == number, reason="a connection")  # type: ignore[misc]
    cluster_faults.undo()
    assert [client.makefile("rb").read()[-1:] for client in answers] == [b"2", b"1"]
    for client in answers:
        client.close()


@pytest.mark.table(quick=["asgi"])
@every_kind
@pytest.mark.cluster(workers=2)
def test_cut(cluster: Cluster, cluster_faults: Faults) -> None:
    """The worker ends, another takes its place, and the primary serves on."""
    first = cluster.workers[0]
    with cluster.expect("exit", worker=first):
        cluster_faults.cut_connections(first)
    assert first.describe_end() == "exit code 0 (injected: cut of the connection channel of worker 1)"
    assert len(cluster.wait_listening()) == 2
    assert all(answered(cluster) for _ in range(4))
    assert cluster.returncode is None


@pytest.mark.table(quick=["gevent"])
@every_kind
@pytest.mark.cluster(workers=2)
def test_worker_that_leaves_gives_back_what_has_not_come(cluster: Cluster, cluster_faults: Faults) -> None:
    first = cluster.workers[0]
    with cluster_faults.hold("connection", worker=first) as gate:
        answers = [cluster.client.submit("/") for _ in range(2)]
        gate.wait_reached()
        with cluster.expect("exit", worker=first):
            first.disconnect()
        assert all(answer.result().worker != first.id for answer in answers)
    assert first.exited_after_disconnect


@pytest.mark.cluster(workers=1)
def test_workers_that_come_later(cluster: Cluster, cluster_faults: Faults) -> None:
    """They hear of it before they listen."""
    cluster_faults.drop_connections(None)
    cluster.restart_worker(cluster.workers[0])
    assert not answered(cluster)
    cluster_faults.undo()
    assert answered(cluster)


@pytest.mark.cluster(workers=2)
def test_chaos_has_them(cluster: Cluster) -> None:
    first, second = cluster.workers
    with contextlib.ExitStack() as lasting:
        inject(cluster, ChaosFault(1, "late_connections", 0.0, 0.01), lasting)
        assert answered(cluster)
    with contextlib.ExitStack() as lasting, cluster.expect("exit", worker=second):
        inject(cluster, ChaosFault(2, "cut_connections", 0.5, 0.01), lasting)
    cluster.wait_listening()
    assert [one.detail for one in cluster.journal if one.injected] == [
        "connections late by 0.01 s in every worker",
        "end of connections late by 0.01 s in every worker",
        "cut of the connection channel of worker 2",
    ]
    assert not first.is_dead()


SCRIPT = """
import os
from nodecluster_compat import cluster, net

def greet(client, peer):
    client.sendall(b"hello")

if cluster.is_primary:
    for _ in range(int(os.environ["WEB_CONCURRENCY"])):
        cluster.fork()
    cluster.on("exit", lambda *_: cluster.fork())
else:
    net.create_server(greet).listen(0, "127.0.0.1")
"""


@pytest.mark.usefixtures("forked")
def test_script(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        server=SCRIPT,
        test_it="""
        import pytest

        def said(cluster):
            with cluster.connect() as client:
                return client.recv(9)

        @pytest.mark.cluster(script="server.py", workers=2)
        def test_it(cluster, cluster_faults):
            first = cluster.workers[0]
            cluster_faults.drop_connections(1, worker=first)
            assert sorted([said(cluster), said(cluster)]) == [b"", b"hello"]
            with cluster.expect("exit", worker=first):
                cluster_faults.cut_connections(first)
            cluster.wait_listening(2)
            assert [said(cluster) for _ in range(4)] == [b"hello"] * 4
        """,
    )
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_what_cannot_be(cluster_factory: ClusterFactory) -> None:
    prepared: Any = cluster_factory(start=False)
    faults = prepared.faults
    for wrong, sentence in (
        (
            lambda: faults.delay_connections("1"),
            r"delay_connections\(seconds\): expected a number of seconds, .* got '1'",
        ),
        (lambda: faults.delay_connections(1, jitter=-1), r"delay_connections\(jitter\): expected a number of seconds"),
        (lambda: faults.delay_connections(1, seed=None), r"delay_connections\(seed\): expected a whole number"),
        (lambda: faults.drop_connections(0), r"drop_connections\(times\): expected a whole number"),
        (lambda: faults.drop_connections(share="x"), r"drop_connections\(share\): expected a number from 0 to 1"),
        (lambda: faults.drop_connections(seed=1.5), r"drop_connections\(seed\): expected a whole number"),
        (lambda: faults.reorder_connections(1), r"reorder_connections\(window\): expected a whole number, 2 to"),
        (lambda: faults.reorder_connections(seconds=0), r"reorder_connections\(seconds\): expected a number"),
        (lambda: faults.drop_connections(worker=0), "worker: expected a whole number, 1 or more, got 0"),
    ):
        with pytest.raises(OptionError, match=sentence):
            wrong()
    with pytest.raises(
        FaultError, match=r"expected a worker \(cluster\.worker\(1\)\), whose connection channel .* got 1"
    ):
        faults.cut_connections(1)
    by_themselves = cluster_factory(start=False, policy="none").faults
    for fault in (by_themselves.delay_connections, by_themselves.drop_connections):
        with pytest.raises(FaultError, match="no connection comes to these workers from the primary: they accept by"):
            fault(1)
