"""Connections are dealt by the policy that is set, and counted truly, whatever becomes of workers and policies."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import Any, Final

import pytest
from raw_http import folder_of
from remote_control import wait, wait_logged
from routed_client import RoutedClient, head

from pytest_cluster import Cluster, ClusterFactory, StartError

SETUP: Final = "from nodecluster_compat import cluster\ncluster.setup_primary({})\n"
CHANGED: Final = SETUP.format("policy='client_address'")
FUNCTION: Final = """
import time
from nodecluster_compat import cluster
def policy(client, workers):
    {}
cluster.setup_primary(policy=policy)
"""


def dealt(cluster: Cluster, stack: ExitStack, count: int) -> list[int]:
    """Who gets each of so many connections, which stay open."""
    return [stack.enter_context(RoutedClient(cluster)).ask("/")["worker"] for _ in range(count)]


@pytest.mark.cluster(app="routed:app", workers=3, policy="least_connections")
def test_least_connections_counts_what_is_open_and_forgets_what_has_ended(cluster: Cluster) -> None:
    with ExitStack() as stack:
        assert Counter(dealt(cluster, stack, 6)) == {1: 2, 2: 2, 3: 2}
        cluster.worker(3).kill()
        wait(lambda: any(one.id == 4 and one.state == "listening" for one in cluster.workers), "a successor", cluster)
        assert dealt(cluster, stack, 2) == [4, 4]  # it has none, the others have two each
        assert Counter(dealt(cluster, stack, 3)) == {1: 1, 2: 1, 4: 1}
    with ExitStack() as stack:
        first = [stack.enter_context(RoutedClient(cluster)) for _ in range(4)]
        served = [client.ask("/")["worker"] for client in first]
        mine = served[0]
        first[0].sock.sendall(head("/", "Connection: close"))
        assert first[0].answer()["worker"] == mine
        assert first[0].sock.recv(1) == b""
        wait(lambda: dealt(cluster, stack, 1) == [mine], f"worker {mine}, which has fewer connections", cluster)


@pytest.mark.cluster(app="routed:app", workers=3, config=SETUP.format("policy='weighted:3,1,0'"))
def test_weights_and_a_policy_that_a_reload_changes(cluster: Cluster) -> None:
    with ExitStack() as stack:
        assert Counter(dealt(cluster, stack, 8)) == {1: 6, 2: 2}
    conf = folder_of(cluster) / "gunicorn.conf.py"
    conf.write_text(conf.read_text() + CHANGED)
    cluster.reload()
    with ExitStack() as stack:
        assert len(set(dealt(cluster, stack, 6))) == 1


@pytest.mark.cluster(app="routed:app", workers=2, config=FUNCTION.format("return max(one.id for one in workers)"))
def test_a_function_of_ones_own_chooses(cluster: Cluster) -> None:
    with ExitStack() as stack:
        assert dealt(cluster, stack, 4) == [2, 2, 2, 2]


@pytest.mark.table(quick=["raises"])
@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("raise ValueError(client)", "The policy policy failed: ValueError"),
        ("return 'two'", "The policy policy failed: TypeError"),
        ("time.sleep(1.2)", "The policy policy took more than 1 s"),
    ],
    ids=["raises", "nonsense", "sleeps"],
)
def test_a_function_that_fails_or_takes_a_second_is_asked_no_more(
    cluster_factory: ClusterFactory, body: str, sentence: str
) -> None:
    cluster = cluster_factory(app="routed:app", workers=2, config=FUNCTION.format(body))
    with ExitStack() as stack:
        assert sorted(dealt(cluster, stack, 2)) == [1, 2]
        wait(lambda: sentence in cluster.log_tail, sentence, cluster)
        assert sorted(dealt(cluster, stack, 2)) == [1, 2]
    assert cluster.log_tail.count("dealt round robin from now on") == 1


@pytest.mark.cluster(
    app="routed:app", workers=3, policy="client_address", settings={"proxy_protocol": True, "proxy_allow_ips": "*"}
)
def test_the_client_that_a_proxy_names_is_the_one_that_counts(cluster: Cluster) -> None:
    served: dict[str, set[int]] = {}
    for number in range(12):
        name = f"192.0.2.{number}"
        for _ in range(2):
            with RoutedClient(cluster) as client:
                client.sock.sendall(f"PROXY TCP4 {name} 192.0.2.99 5000 80\r\n".encode() + head("/"))
                told = client.answer()
            assert told["client"] == name
            served.setdefault(name, set()).add(told["worker"])
    assert [workers for workers in served.values() if len(workers) > 1] == []
    assert len({next(iter(workers)) for workers in served.values()}) > 1


CHANGES_BOTH: Final = (
    SETUP.format("")
    + """
import os, signal

def change(*_):
    os.environ["NODECLUSTER_POLICY"] = "quickest"
    cluster.setup_primary(blocked_after=4)
    cluster.setup_primary(blocked_after=5)

cluster.on("listening", change)
"""
)


@pytest.mark.cluster(app="routed:app", workers=2, config=CHANGES_BOTH)
def test_program_that_asks_for_what_is_none_later_is_told_once(cluster: Cluster) -> None:
    """The server goes on, and deals as before."""
    wait_logged(cluster, "Connections are dealt as before: expected policy to be")
    cluster.primary.signal("SIGTTIN")
    cluster.wait_listening(3)
    assert {cluster.get("/").worker for _ in range(9)} == {worker.id for worker in cluster.workers}
    assert cluster.log.count("Connections are dealt as before") == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"config": SETUP.format("policy='quickest'")}, "expected policy to be"),
        ({"config": SETUP.format("routing='quickest'")}, "expected routing to be"),
        ({"env": {"NODECLUSTER_POLICY": "quickest"}}, "expected policy to be"),
        ({"env": {"NODECLUSTER_ROUTING": "quickest"}}, "expected routing to be"),
    ],
)
def test_what_is_none_is_refused_at_start(
    cluster_factory: ClusterFactory, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(StartError, match=sentence):
        cluster_factory(app="routed:app", workers=1, **options)
