"""Topics and requests between real workers of every kind, and the primary."""

from __future__ import annotations

import os
import signal

import pytest
from kinds import every_kind
from remote_control import REMOTE, ask, healthy, tell, wait, wait_ended, wait_said

from pytest_cluster import Cluster

SUBSCRIBE = """
heard = []
def hear(topic, message):
    heard.append([topic, message])
    return cluster.worker.id if cluster.worker else 0
subscription = cluster.bus.subscribe('cache.*', hear)
"""
LISTEN = "process.on('request', lambda message, reply: reply([message, cluster.worker.id]))"
WORKERS = ("worker/1", "worker/2", "worker/3")


@every_kind
@pytest.mark.cluster(**REMOTE, workers=3)
def test_publish_and_request(cluster: Cluster) -> None:
    """From and to any worker and the primary, in order; replies of one, of a topic, of all, and who is missing."""
    for where in ("primary", *WORKERS):
        ask(cluster, where, SUBSCRIBE)
    for where in WORKERS:
        ask(cluster, where, LISTEN)
    ask(cluster, "worker/1", "for number in range(2000): cluster.bus.publish('cache.x', number)")
    ask(cluster, "primary", "for number in range(500): cluster.bus.publish('cache.p', number)")
    wanted = [["cache.x", number] for number in range(2000)]
    for where in ("primary", *WORKERS):
        wait(lambda where=where: ask(cluster, where, "result = len(heard)") == 2500, "all messages", cluster)
        assert ask(cluster, where, "result = [one for one in heard if one[0] == 'cache.x']") == wanted
    assert ask(cluster, "worker/2", "result = [subscription.dropped, subscription.delivered]") == [0, 2500]

    request = "replies = cluster.bus.request({}, 'how?', timeout=20); result = [{}]"
    both = "dict(replies), {n: str(e) for n, e in replies.missing.items()}"
    assert ask_beside(cluster, request.format("2", "replies")) == [["how?", 2]]
    assert ask_beside(cluster, request.format("'cache.now'", both)) == [{"0": 0, "1": 1, "2": 2, "3": 3}, {}]
    every = {str(number): ["how?", number] for number in (1, 2, 3)}
    assert ask_beside(cluster, request.format("cluster.bus.ALL", both)) == [every, {}]
    told = ask_beside(cluster, "replies = cluster.everywhere(os.getpid, timeout=20); result = dict(replies)")
    assert told == {str(one.id): one.pid for one in cluster.workers}

    ask(cluster, "worker/3", "process.remove_all_listeners('request'); process.on('request', lambda m, r: None)")
    tell(cluster, "worker/1", ASK_ALL)
    wait_said(cluster, asked="all")
    os.kill(cluster.worker(3).pid, signal.SIGKILL)
    [line] = wait_said(cluster, answered="all")
    assert (line["replies"], line["missing"]) == ([1, 2], {"3": "WorkerGone"})
    wait_ended(cluster, worker=3)
    assert healthy(cluster)


ASK_ALL = """
def ended(error, replies):
    say(answered='all', replies=sorted(replies), missing={n: type(e).__name__ for n, e in replies.missing.items()})
cluster.bus.request(cluster.bus.ALL, 'hello', ended)
say(asked='all')
"""


def ask_beside(cluster: Cluster, source: str) -> object:
    """Run source that waits, as a request of a client does: messages of its own worker are served meanwhile."""
    return cluster.request("POST", "/here", body=source.encode(), timeout=20).json()["result"]
