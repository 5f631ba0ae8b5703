"""ASGI workers: lifespan, handlers, messages from tasks and threads, boots that fail, loops that are blocked."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from contextlib import ExitStack
from typing import Any, Final

import pytest
from raw_http import CHANGE, GET, folder_of
from remote_control import CONF, said, wait, wait_logged, wait_said

from pytest_cluster import Cluster, ClusterFactory
from pytest_cluster.journal.entries import LIFECYCLE

KIND: Final = "nodecluster_compat.ASGIWorker"
ASGI: Final[dict[str, Any]] = {"app": "asgi_app:app", "config": CONF, "worker_class": KIND}
LOOPS: Final = ["asyncio", "uvloop"]


# --- lifespan ------------------------------------------------------------------------------------


@pytest.mark.table(quick=["asyncio"])
@pytest.mark.parametrize("loop", LOOPS)
def test_lifespan_begins_before_the_worker_listens_and_ends_after_its_drain(
    cluster_factory: ClusterFactory, loop: str
) -> None:
    """What it has put into its state, requests find in theirs."""
    cluster = cluster_factory(**ASGI, workers=1, settings={"asgi_loop": loop})
    assert said(cluster, told="startup")
    assert cluster.get("/state").text == "yes"
    assert cluster.worker(1).run("asgi_app:loop_of_worker").startswith(loop)
    assert cluster.stop() == 0
    assert [line["told"] for line in said(cluster) if "told" in line][-3:] == ["worker", "process", "shutdown"]


FAILING: Final = [
    pytest.param("fails", {}, "no database", id="says that it failed"),
    pytest.param("raises", {"asgi_lifespan": "on"}, "asgi_lifespan is 'on', and the application raised", id="has none"),
]


@pytest.mark.table(quick=["says that it failed"])
@pytest.mark.parametrize(("wish", "settings", "sentence"), FAILING)
def test_lifespan_that_fails_is_a_failed_reload(
    cluster_factory: ClusterFactory, wish: str, settings: dict[str, Any], sentence: str
) -> None:
    """The old worker serves on."""
    cluster = cluster_factory(**ASGI, workers=1, settings=settings)
    (folder_of(cluster) / "lifespan").write_text(wish)
    assert cluster.reload().state == "failed"
    wait_logged(cluster, sentence)
    assert cluster.get("/worker").text == "1"


@pytest.mark.cluster(**ASGI, workers=1, env={"LIFESPAN": "raises"})
def test_application_without_lifespan_is_served(cluster: Cluster) -> None:
    """``asgi_lifespan = "auto"``: an exception before startup is complete says that it knows none; the log has it."""
    assert cluster.get("/state").text == "no"
    wait(lambda: "The application raised at its startup" in cluster.log, "the line of the worker", cluster)
    assert "RuntimeError: knows no lifespan" in cluster.log


@pytest.mark.cluster(**{**ASGI, "config": CONF + "cluster.setup_primary(boot_timeout=1)\n"}, workers=1)
def test_lifespan_that_hangs_is_a_failed_reload(cluster: Cluster) -> None:
    """It has as long as a worker may boot."""
    (folder_of(cluster) / "lifespan").write_text("hangs")
    report = cluster.reload()
    assert report.state == "failed"
    assert "boot_timeout (1 s)" in str(report.reason)
    wait(lambda: "has not begun (ASGI lifespan), it waits:" in cluster.log, "the line of the worker", cluster)
    assert cluster.get("/worker").text == "1"


# --- boots that fail -----------------------------------------------------------------------------


EITHER: Final = {**ASGI, "app": "either_app:app", "config": CONF + CHANGE}


@pytest.mark.cluster(**EITHER, workers=1)
def test_wsgi_application_is_refused_by_name(cluster: Cluster) -> None:
    """A sentence says which class to take, and the reload has failed."""
    (folder_of(cluster) / "interface").write_text("wsgi")
    assert cluster.reload().state == "failed"
    wait_logged(cluster, "got either_app.wsgi, which takes two arguments")
    wait_logged(cluster, "use nodecluster_compat.Worker")
    assert cluster.get("/").text == "asgi"


# --- handlers and messages -----------------------------------------------------------------------


@pytest.mark.cluster(**ASGI, workers=1)
def test_async_handlers_are_awaited_in_order(cluster: Cluster) -> None:
    """A handler that awaits holds up later messages."""
    source = "for n in range(60): cluster.workers[1].send({'number': n, 'last': n == 59})"
    cluster.request("POST", "/primary", body=source.encode())
    wait_said(cluster, got=59)
    assert [line["got"] for line in said(cluster) if "got" in line] == list(range(60))


REPLY: Final = CONF + (
    "@cluster.on('request')\ndef reply(worker, message, reply):\n"
    "    reply.fail('no such thing') if message is None else reply({'had': message})\n"
)


@pytest.mark.cluster(**{**ASGI, "config": REPLY}, workers=1)
def test_task_awaits_the_reply_of_the_primary(cluster: Cluster) -> None:
    """``await process.request_async()``; a plain call on the loop is refused with a sentence."""
    assert cluster.worker(1).run("asgi_app:from_primary", 7) == {"had": 7}
    with pytest.raises(Exception, match="it cannot: no such thing"):
        cluster.worker(1).run("asgi_app:from_primary", None)
    with pytest.raises(Exception, match=r"await process\.request_async"):
        cluster.worker(1).run("asgi_app:ask_on_the_loop")


COUNT: Final = (
    CONF + "got = []\ncluster.on('message', lambda worker, message: got.append(message))\nscope['got'] = got\n"
)


@pytest.mark.cluster(**{**ASGI, "config": COUNT}, workers=1)
def test_ten_thousand_sends_from_tasks_and_threads(cluster: Cluster) -> None:
    """None is lost, and those of each sender arrive in order."""
    cluster.worker(1).run("asgi_app:flood", 8, 625, timeout=60)
    source = (
        "import json; open('new', 'w').write(json.dumps(got)); os.replace('new', 'got'); "
        "say(told='written', n=len(got))"
    )

    def all_there() -> bool:
        cluster.request("POST", "/primary", body=source.encode())
        return any(line["n"] >= 10_000 for line in said(cluster, told="written"))

    wait(all_there, "10 000 messages", cluster)
    by_sender: defaultdict[str, list[int]] = defaultdict(list)
    for message in json.loads((folder_of(cluster) / "got").read_text()):
        if isinstance(message, dict) and "sender" in message:
            by_sender[message["sender"]].append(message["number"])
    assert len(by_sender) == 16
    assert all(numbers == list(range(625)) for numbers in by_sender.values())


@pytest.mark.cluster(**{**ASGI, "config": COUNT}, workers=1)
def test_cancelled_send_is_whole_and_in_its_place(cluster: Cluster) -> None:
    """Nobody is told, and nothing comes twice."""
    with cluster.messages.expect(sent=False, match=lambda message: "cancelled" in message, exactly=20) as expected:
        assert cluster.worker(1).run("asgi_app:cancel_sends", 20) == 20
    assert [entry.message["cancelled"] for entry in expected.entries] == list(range(20))


# --- loops that are blocked, tasks that fail -----------------------------------------------------


WATCHED: Final = (
    CONF
    + """
cluster.setup_primary(blocked_after=0.3)
for name in ("blocked", "unblocked"):
    cluster.on(name, lambda worker, seconds, name=name: say(told=name, health=worker.health))
"""
)
HOOK: Final = CONF + "timeout = 1\ndef worker_abort(worker):\n    say(told='abort')\n"


@pytest.mark.cluster(**{**ASGI, "config": WATCHED}, workers=1)
def test_stacks_of_a_blocked_loop_name_the_task(cluster: Cluster) -> None:
    """What it computes, and what other tasks wait for."""
    with cluster.connect() as client, cluster.connect() as held:
        held.sendall(GET % (b"/held", b""))
        wait_said(cluster, told="held")
        client.sendall(GET % (b"/block", b""))
        wait_said(cluster, told="blocking")
        wait(lambda: "in until_released" in cluster.log, "the stacks", cluster)
    wait_logged(cluster, "(ASGIProtocol._handle_")
    wait_logged(cluster, "in block\n")
    cluster.worker(1).kill()  # it would go on


@pytest.mark.cluster(**{**ASGI, "config": HOOK}, workers=1)
def test_worker_abort_runs_on_a_blocked_loop(cluster: Cluster) -> None:
    """gunicorn's own ASGI worker hears SIGABRT by its loop, so never."""
    with cluster.connect() as client:
        client.sendall(GET % (b"/block", b""))
        wait_said(cluster, told="abort")
    ended = cluster.journal.wait_for("exit", worker=1)
    assert (ended.code, ended.signal) == (1, None)


def stand(cluster: Cluster, how: str) -> None:
    """Have a handler of the event ``message`` block the loop, and send more messages."""
    source = f"for what in ({how!r}, *range(5)): cluster.workers[1].send({{'number': what}})"
    cluster.request("POST", "/primary", body=source.encode())
    wait_said(cluster, told="standing")


HANDLERS: Final = ["stand in a coroutine", "stand in a function"]
TASK: Final = "Task 'nodecluster: messages' (_deliver) runs:\n"


@pytest.mark.table(quick=["stand in a coroutine"])
@pytest.mark.cluster(**{**ASGI, "config": WATCHED}, workers=1, fresh=True)
@pytest.mark.parametrize("how", HANDLERS)
def test_handler_that_blocks_the_loop_is_named_and_loses_no_message(cluster: Cluster, how: str) -> None:
    """``async def`` or not: its task and its stack; what came meanwhile is told in order when it goes on."""
    stand(cluster, how)
    wait_said(cluster, told="blocked", health="blocked")
    wait_logged(cluster, TASK)
    wait(lambda: f"in {how.replace(' ', '_')}\n" in cluster.log.partition(TASK)[2], "its stack", cluster)
    assert not [line for line in said(cluster) if "got" in line]
    (folder_of(cluster) / "release").touch()
    wait_said(cluster, got=4)
    assert [line["got"] for line in said(cluster) if "got" in line] == list(range(5))
    wait_said(cluster, told="unblocked", health="ok")
    assert cluster.get("/worker").text == "1"


@pytest.mark.table(quick=["stand in a function"])
@pytest.mark.cluster(**{**ASGI, "config": HOOK}, workers=1, fresh=True)
@pytest.mark.parametrize("how", HANDLERS)
def test_handler_that_never_ends_is_ended_by_timeout(cluster: Cluster, how: str) -> None:
    """With its stack and ``worker_abort``; its events come in order, and its successor hears messages in order."""
    stand(cluster, how)
    ended = cluster.journal.wait_for("exit", worker=1)
    assert (ended.code, ended.signal) == (1, None)
    steps = ["WORKER TIMEOUT", "What worker", TASK, '"told": "abort"']
    for step in steps:
        wait_logged(cluster, step)
    assert sorted(steps, key=cluster.log.index) == steps
    assert f"in {how.replace(' ', '_')}\n" in cluster.log.partition(TASK)[2]
    cluster.journal.wait_for("listening", worker=2)
    told = [entry.event for entry in cluster.journal.entries if entry.worker == 1 and entry.event in LIFECYCLE]
    assert told == ["fork", "online", "listening", "disconnect", "exit"]
    source = "for number in range(5): cluster.workers[2].send({'number': number})"
    cluster.request("POST", "/primary", body=source.encode())
    wait_said(cluster, got=4)
    assert [line["got"] for line in said(cluster) if "got" in line] == list(range(5))


@pytest.mark.cluster(**ASGI, workers=1)
def test_task_that_nobody_holds_and_that_fails_is_in_the_log(cluster: Cluster) -> None:
    """With its traceback; requests go on."""
    assert cluster.get("/task-fails").status == 200
    wait(lambda: "LookupError: nobody holds this task" in cluster.log, "the traceback", cluster)
    assert cluster.get("/").status == 200


@pytest.mark.table(quick=["exit_in_task"])
@pytest.mark.cluster(**ASGI, workers=1)
@pytest.mark.parametrize("how", ["exit_in_task", "exit_in_thread"])
def test_exit_ends_the_worker_with_its_code(cluster: Cluster, how: str) -> None:
    """``process.exit(7)``, in a task and in another thread."""
    with pytest.raises(Exception):  # noqa: B017 - the worker that would answer is gone
        cluster.worker(1).run(f"asgi_app:{how}", timeout=10)
    assert cluster.journal.wait_for("exit", worker=1).code == 7


# --- connections ---------------------------------------------------------------------------------


@pytest.mark.cluster(**ASGI, workers=3)
def test_connections_are_dealt_in_turn(cluster: Cluster) -> None:
    """30 over 3 workers, 10 each, while all of them stay open; gunicorn's own takes all or none."""
    with ExitStack() as stack:
        served: Counter[bytes] = Counter()
        for _ in range(30):
            client = stack.enter_context(cluster.connect())
            client.sendall(GET % (b"/worker", b""))
            served[client.recv(65536).rpartition(b"\r\n")[2]] += 1
    assert served == {b"1": 10, b"2": 10, b"3": 10}


TELL_WORKER: Final = "def post_worker_init(worker):\n    import asgi_app\n    asgi_app.this = worker\n"


@pytest.mark.table(quick=["rr"])
@pytest.mark.parametrize("policy", ["rr", "none"])
def test_worker_connections_is_kept(cluster_factory: ClusterFactory, policy: str) -> None:
    """What is beyond waits in the primary, or in the kernel, and is served when there is room."""
    options = {**ASGI, "config": CONF + TELL_WORKER}
    cluster = cluster_factory(**options, workers=1, policy=policy, settings={"worker_connections": 2})
    with cluster.connect() as first, cluster.connect() as second, cluster.connect() as third:
        for client in (first, second):
            client.sendall(GET % (b"/held", b""))
        wait_said(cluster, 2, told="held")
        third.sendall(GET % (b"/held", b"Connection: close\r\n"))
        assert cluster.worker(1).run("asgi_app:count_of_connections") == 2
        wait_logged(cluster, "Worker has 2 connections, the limit that worker_connections sets")
        first.close()
        (folder_of(cluster) / "release").touch()
        assert third.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.cluster(**ASGI, workers=1)
def test_application_hears_that_its_client_has_left(cluster: Cluster) -> None:
    """``http.disconnect``, while it awaits nothing else."""
    with cluster.connect() as client:
        client.sendall(GET % (b"/until-gone", b""))
        wait_said(cluster, told="waits")
    wait_said(cluster, told="gone")
    assert cluster.get("/").status == 200


@pytest.mark.cluster(**ASGI, workers=1, settings={"threads": 4})
def test_threads_of_another_kind_are_named(cluster: Cluster) -> None:
    """The setting is for workers of threads."""
    wait_logged(cluster, "ASGIWorker has no threads of its own: threads = 4 does nothing")
