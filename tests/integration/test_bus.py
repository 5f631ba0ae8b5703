"""Topics and requests between real workers of every kind, and the primary."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from kinds import ASGI, every_kind, every_wsgi_kind
from programs import run_program
from remote_control import CONF, REMOTE, ask, healthy, said, tell, wait, wait_ended, wait_logged, wait_said

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


@pytest.mark.table(quick=["threads"])
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


BROADCAST = """
told = []
cluster.on('message', lambda worker, message, handle: told.append([worker.id, repr(message)]))
"""
BROADCAST_IN_WORKER = """
told = []
def tell_of(message, handle):
    if not isinstance(message, dict) or 'remote' not in message:
        told.append(repr(message))
process.on('message', tell_of)
"""


@pytest.mark.table(quick=["asgi"])
@every_kind
@pytest.mark.cluster(**REMOTE, workers=3)
def test_broadcast(cluster: Cluster) -> None:
    """To all but the one that sends, the primary too, in order with what is sent; values are those of ``publish``."""
    ask(cluster, "primary", BROADCAST)
    for where in WORKERS:
        ask(cluster, where, BROADCAST_IN_WORKER)
    values = [b"x", {1: 2}, {None: 1}, {(1, 2): 3}, 53, "end"]
    ask(cluster, "worker/1", f"sent = [cluster.bus.broadcast(one) for one in {values!r}]; result = all(sent)")
    of_worker = [repr(one) for one in values]
    for where in ("worker/2", "worker/3"):
        wait(lambda where=where: ask(cluster, where, "result = len(told)") >= 6, "all broadcasts", cluster)
        assert ask(cluster, where, "result = told") == of_worker
    heard = "result = [message for worker, message in told if worker == 1 and 'remote' not in message]"
    wait(lambda: "'end'" in ask(cluster, "primary", heard), "all broadcasts", cluster)
    assert [one for one in ask(cluster, "primary", heard) if one in of_worker] == of_worker
    assert ask(cluster, "worker/1", "result = told") == []

    ask(cluster, "primary", "cluster.bus.broadcast(b'y'); cluster.workers[2].send('behind it')")
    wait(lambda: ask(cluster, "worker/2", "result = told[6:]") == ["b'y'", "'behind it'"], "both in order", cluster)
    for where in ("worker/1", "worker/3"):
        wait(lambda where=where: ask(cluster, where, "result = told[-1:]") == ["b'y'"], "the primary's", cluster)
    refused = "try:\n    cluster.bus.broadcast({})\nexcept Exception as error:\n    result = type(error).__name__"
    assert ask(cluster, "worker/1", refused.format("object()")) == "MessageNotSerializable"
    assert ask(cluster, "worker/1", refused.format("'x' * 1100000")) == "MessageTooLarge"
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


@pytest.mark.cluster(app="asgi_bus:app", worker_class="nodecluster_compat.ASGIWorker", workers=2, config=CONF)
def test_tasks(cluster: Cluster) -> None:
    """``async def`` handlers keep their order and answer; what waits is awaited; a call that would block says so."""
    published: dict[int | None, list[int]] = {}
    for number in range(20):
        answer = cluster.get(f"/publish/{number}")
        assert answer.text == "true"
        published.setdefault(answer.worker, []).append(number)
    wait(lambda: len(said_with(cluster, "heard")) >= 40, "all messages", cluster)
    for worker in cluster.workers:
        heard = [one["heard"] for one in said_with(cluster, "heard") if one["by"] == worker.pid]
        assert sorted(heard) == list(range(20))
        for numbers in published.values():  # between those of two workers there is no order
            assert [number for number in heard if number in numbers] == numbers
    replies, everyone, has_token = cluster.get("/ask").json()
    assert (replies, everyone, has_token) == ({"1": [99, 1], "2": [99, 2]}, 2, True)
    assert cluster.get("/blocks").text == "WouldBlock"

    answer = cluster.get("/broadcast/500")
    assert answer.json() == [True] * 500
    [other] = [worker.pid for worker in cluster.workers if worker.id != answer.worker]
    wait(lambda: len(said_with(cluster, "told")) >= 500, "all broadcasts", cluster)
    assert [(one["told"], one["by"]) for one in said_with(cluster, "told")] == [(at, other) for at in range(500)]


def said_with(cluster: Cluster, name: str) -> list[dict[str, Any]]:
    return [one for one in said(cluster) if name in one]


SCRIPT = """
from nodecluster_compat import cluster, process

if cluster.is_primary:
    seen = []

    @cluster.bus.subscribe("hello")
    def hello(topic, worker):
        seen.append(worker)
        if len(seen) == 3:
            print("primary heard", sorted(seen))
            cluster.bus.request("nobody", None, asked)

    def asked(error, replies):
        print("nobody", dict(replies), replies.missing)
        cluster.bus.request("who.are.you", None, answered)

    def answered(error, replies):
        print("answers", sorted(replies.values()), "missing", replies.missing)
        cluster.bus.publish("end")

    for _ in range(3):
        cluster.fork()
else:
    @cluster.bus.subscribe("who.*")
    def who(topic, message):
        return f"worker {cluster.worker.id}"

    @cluster.once("first")
    def first():
        cluster.store.incr("first")

    @cluster.bus.subscribe("end")
    def end(topic, message):
        with cluster.lock("end"):
            print("first ran", cluster.store.get("first"), flush=True)
        process.exit()

    cluster.bus.publish("hello", cluster.worker.id)
"""


@pytest.mark.slow
def test_a_script(tmp_path: Path) -> None:
    """The same in script mode: to the primary and back, in order."""
    (tmp_path / "s.py").write_text(SCRIPT)
    command = [os.path.join(os.path.dirname(sys.executable), "nodecluster"), "s.py"]
    done = run_program(command, cwd=tmp_path)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "primary heard [1, 2, 3]",
        "nobody {} {}",
        "answers ['worker 1', 'worker 2', 'worker 3'] missing {}",
        *["first ran 1"] * 3,
    ]


BAD_TASKS = """
import asyncio
got = []
async def raises(topic, message):
    await asyncio.sleep(0)
    raise RuntimeError('on purpose')
def raises_at_once(topic, message):
    raise RuntimeError('at once')
async def good(topic, message):
    got.append(message)
async def never(topic, message):
    await asyncio.Event().wait()
stuck = cluster.bus.subscribe('bad', never)
for one in (raises, raises_at_once, good):
    cluster.bus.subscribe('bad', one)
"""


@pytest.mark.slow
@pytest.mark.cluster(**{**REMOTE, **ASGI}, workers=2)
def test_bad_subscribers_in_tasks(cluster: Cluster) -> None:
    """One that raises, or awaits for ever, holds up nobody; what it misses is counted."""
    ask(cluster, "worker/1", BAD_TASKS)
    ask(cluster, "worker/2", "for number in range(5000): cluster.bus.publish('bad', number) or say(refused=number)")
    wait(lambda: ask(cluster, "worker/1", "result = len(got)") == 5000, "all messages", cluster)
    assert ask(cluster, "worker/1", "result = got == list(range(5000))")
    assert said_with(cluster, "refused") == []
    assert ask(cluster, "worker/1", "result = [stuck.delivered, stuck.waiting, stuck.dropped]") == [1, 4096, 903]
    wait_logged(cluster, "is slow")
    wait_logged(cluster, "on purpose")
    wait_logged(cluster, "at once")
    replies = "replies = cluster.bus.request('bad', 1, timeout=0.5); result = [dict(replies), list(replies.missing)]"
    assert ask_beside(cluster, replies) == [{}, [1]]
    assert healthy(cluster)


@pytest.mark.cluster(**{**REMOTE, **ASGI}, workers=2, settings={"timeout": 3})
def test_a_subscriber_that_blocks_the_loop(cluster: Cluster) -> None:
    """Holds up its worker, which is replaced after ``timeout``, and neither other workers nor who publishes."""
    hear = """
got = []
def hear(topic, message):
    got.append(message)
    if message == 4999:
        say(heard=len(got))
cluster.bus.subscribe('bad', hear)
"""
    ask(cluster, "worker/2", hear)
    ask(cluster, "worker/1", "import time\ncluster.bus.subscribe('bad', lambda topic, message: time.sleep(3600))")
    told = "for number in range(5000): cluster.bus.publish('bad', number) or say(refused=number)"
    tell(cluster, "worker/2", told)
    wait_said(cluster, heard=5000)
    assert said_with(cluster, "refused") == []
    wait_ended(cluster, worker=1)
    cluster.wait_listening(2)
    ask(cluster, "worker/2", told)
    wait_said(cluster, heard=10_000)
    assert healthy(cluster)


BAD = """
got = []
def raises(topic, message):
    raise RuntimeError('on purpose')
def good(topic, message):
    got.append(message)
def never(topic, message):
    from threading import Event
    Event().wait()
stuck = cluster.bus.subscribe('bad', never)
cluster.bus.subscribe('bad', raises)
cluster.bus.subscribe('bad', good)
"""


@pytest.mark.table(quick=["gevent"])
@every_wsgi_kind
@pytest.mark.cluster(**REMOTE, workers=2)
def test_bad_subscribers(cluster: Cluster) -> None:
    """One that raises or never returns holds up nobody; what it misses is counted; what cannot be sent is refused."""
    ask(cluster, "worker/1", BAD)
    ask(cluster, "worker/2", "for number in range(5000): cluster.bus.publish('bad', number) or say(refused=number)")
    wait(lambda: ask(cluster, "worker/1", "result = len(got)") == 5000, "all messages", cluster)
    assert said_with(cluster, "refused") == []
    assert ask(cluster, "worker/1", "result = [stuck.delivered, stuck.waiting, stuck.dropped]") == [1, 4096, 903]
    dropped = "result = cluster.status.bus.dropped['slow_handler']"
    wait(lambda: ask(cluster, "primary", dropped) >= 903, "what the primary knows of that", cluster)
    wait_logged(cluster, "is slow")
    wait_logged(cluster, "on purpose")
    refused = """
result = []
for call in (lambda: cluster.bus.publish(''), lambda: cluster.bus.publish('x' * 256), lambda: cluster.bus.publish(5),
             lambda: cluster.bus.publish('x', object()), lambda: cluster.bus.publish('x', 'x' * 1100000),
             lambda: cluster.bus.subscribe('x', 5), lambda: cluster.bus.request(0), lambda: cluster.bus.request(None),
             lambda: cluster.bus.request(1, timeout=0), lambda: cluster.everywhere(lambda: 1),
             lambda: cluster.bus.request(1, 'x' * 1100000), lambda: cluster.everywhere(os.getenv, 'x' * 1100000),
             lambda: cluster.lock('x' * 256), lambda: cluster.once('x' * 256)(print), lambda: cluster.lock('')):
    try:
        result.append(call())
    except Exception as error:
        result.append(type(error).__name__)
"""
    wrong, kind = "ArgumentError", "ArgumentTypeError"
    expected = [wrong, wrong, kind, "MessageNotSerializable", "MessageTooLarge", kind, wrong, kind, kind, kind]
    expected += ["MessageTooLarge", "MessageTooLarge", wrong, wrong, wrong]
    assert ask(cluster, "worker/2", refused) == expected
    assert healthy(cluster)
