"""A worker whose loop stands still: who is told, what it was doing, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from typing import Final

import pytest
from remote_control import CONF, REMOTE, Gate, ask, freeze, said, wait, wait_logged, wait_said
from stage import Play

from pytest_cluster import Cluster

TOLD: Final = """
from nodecluster_compat import cluster

for name in ("blocked", "unblocked"):
    cluster.on(name, lambda one, seconds, name=name: say(told=name, id=one.id, seconds=seconds, is_=one.health))
cluster.on("fork", lambda worker: worker.on("blocked", lambda seconds: say(told="worker", id=worker.id)))
"""
WATCHED: Final = CONF + TOLD + "cluster.setup_primary(blocked_after=1)\n"
LIMITED: Final = CONF + TOLD + "timeout = 1\ncluster.setup_primary(blocked_after=0, restart_delay=0.1)\n"
IN_C: Final = """
import ctypes
def never_comes_back(lock, mutex):
    lock(mutex)
    lock(mutex)  # a deadlock that no signal ends, with the interpreter's lock held
never_comes_back(ctypes.PyDLL(None).pthread_mutex_lock, ctypes.create_string_buffer(128))
"""


def post(client: socket.socket, source: str) -> None:
    """Have some worker run ``source``; do not wait for an answer."""
    body = source.encode()
    client.sendall(b"POST /here HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


@pytest.mark.cluster(**{**REMOTE, "config": WATCHED}, workers=2)
def test_blocked_worker_is_told_with_its_stacks(cluster: Cluster, tmp_path: Path) -> None:
    """Once, on the worker and on the cluster; the others serve; its end is told as well."""
    gate = Gate(tmp_path)
    with cluster.connect() as client:
        post(client, f"def stand(): {gate.source}stand()")
        pid = gate.entered(cluster)
        (one,) = (worker for worker in cluster.workers if worker.pid == pid)
        (told,) = wait_said(cluster, told="blocked", id=one.id)
        assert told["seconds"] >= 1
        assert told["is_"] == "blocked"
        assert len(said(cluster, told="worker", id=one.id)) == 1
        wait(lambda: "in stand" in cluster.log, "the stack", cluster)
        wait_logged(cluster, f"s\nIn flight, the oldest first: POST /here from 127.0.0.1:{client.getsockname()[1]}, ")
        with cluster.connect(timeout=20) as other:
            other.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert other.recv(65536).startswith(b"HTTP/1.1 200")
        gate.open()
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
    (told,) = wait_said(cluster, told="unblocked", id=one.id)
    assert told["seconds"] >= 1
    assert told["is_"] == "ok"
    wait_logged(cluster, f"Worker (pid:{pid}) is blocked (sleeping): its loop has not turned for")
    of_it = f"Worker (pid:{pid}) is "  # another may have stood still as well, where the machine is busy
    wait_logged(cluster, f"{of_it}no longer blocked")
    assert cluster.log.count(f"{of_it}blocked") == cluster.log.count(f"{of_it}no longer blocked") == 1
    lags = ask(cluster, "primary", "result = {one.id: (one.lag, one.health) for one in cluster.status.workers}")
    assert lags[str(one.id)][0] >= 1
    assert lags[str(one.id)][1] == "ok"


CHILD: Final = """
import gevent
parent = os.getppid()
if not os.fork():
    os.getppid = lambda: parent  # or gunicorn's own code ends it
    while not os.path.exists({end!r}):
        gevent.sleep(0.02)  # a loop that turns, with the timers of its parent's
    say(child="lives")
    os._exit(0)
{block}
"""


@pytest.mark.cluster(**{**REMOTE, "config": WATCHED}, workers=1)
def test_child_of_a_worker_does_not_beat_for_it(cluster: Cluster, tmp_path: Path) -> None:
    """What a worker forks has a copy of its loop."""
    gate, end = Gate(tmp_path), tmp_path / "end"
    with cluster.connect() as client:
        post(client, CHILD.format(end=str(end), block=gate.source))
        gate.entered(cluster)
        wait_said(cluster, told="blocked", id=1)
        end.touch()
        wait_said(cluster, child="lives")
        gate.open()
        assert client.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.cluster(**{**REMOTE, "config": WATCHED}, workers=2)
def test_stopped_worker_is_not_called_blocked(cluster: Cluster) -> None:
    """It is not asked what it does, and goes on when it is let."""
    one, _ = cluster.workers
    freeze(cluster, one.pid)
    wait_said(cluster, told="blocked", id=one.id, is_="stopped")
    os.kill(one.pid, signal.SIGCONT)
    wait_said(cluster, told="unblocked", id=one.id, is_="ok")
    wait_logged(cluster, f"Worker (pid:{one.pid}) is stopped")
    assert f"Worker (pid:{one.pid}) is blocked" not in cluster.log
    assert one.pid in [worker.pid for worker in cluster.workers]


@pytest.mark.cluster(**{**REMOTE, "config": LIMITED}, workers=2)
def test_timeout_tells_what_a_worker_in_c_code_was_doing(cluster: Cluster) -> None:
    """Code that never comes back to Python, with the lock held: the frames that called it, then ABRT, then KILL."""
    with cluster.connect() as client:
        post(client, IN_C)
        ended = cluster.journal.wait_for("exit")
    assert ended.signal == "SIGKILL"
    pid = ended.pid
    wait_logged(cluster, f"Worker (pid:{pid}) was sent SIGKILL by its primary.")
    log = cluster.log
    steps = [f"WORKER TIMEOUT (pid:{pid})", f"What worker (pid:{pid}) is doing", "in never_comes_back", "no greenlets"]
    assert sorted(steps, key=log.index) == steps
    assert said(cluster, told="blocked") == []  # that was off
    wait(lambda: len(cluster.wait_listening()) == 2, "its successor", cluster)
    fault = ask(cluster, "primary", "result = cluster.status.last_fault")
    assert fault == "gave no sign of life within timeout (1 s)"
    assert "out of memory" not in log


ABORTS: Final = LIMITED + "def worker_abort(worker):\n    say(aborted=worker.pid)\n"


@pytest.mark.table(quick=["while True: pass"])
@pytest.mark.cluster(**{**REMOTE, "config": ABORTS}, workers=2)
@pytest.mark.parametrize("source", ["while True: pass", "os.read(os.pipe()[0], 1)"])
def test_timeout_tells_what_a_worker_in_python_was_doing(cluster: Cluster, source: str) -> None:
    """With its greenlets, and then it is ended as gunicorn does it: ``worker_abort`` is called."""
    with cluster.connect() as client:
        post(client, f"def stay():\n    {source}\nstay()")
        ended = cluster.journal.wait_for("exit")
    steps = [f"WORKER TIMEOUT (pid:{ended.pid})", "in stay", "(running)", "Hub", f'{{"aborted": {ended.pid}}}']
    for step in steps:
        wait_logged(cluster, step)
    log = cluster.log
    assert sorted(steps, key=log.index) == steps
    wait(lambda: len(cluster.wait_listening()) == 2, "its successor", cluster)
    assert ask(cluster, "primary", "result = cluster.status.faults") == 1


def test_script_may_ask_for_it(play: Play) -> None:
    """Nobody is ended, and without being asked nobody is warned."""
    trace = play(
        """
        if cluster.is_primary:
            cluster.setup_primary(blocked_after=0.3)
            worker = cluster.fork()
            cluster.on("blocked", lambda one, seconds: trace(one.id, one.health, seconds >= 0.3, one.lag >= 0.3))
            worker.on("unblocked", lambda seconds: (trace("unblocked", seconds >= 0.3), worker.disconnect()))
            worker.on("online", lambda: worker.send("block"))
        else:
            from gevent.monkey import get_original
            process.on("message", lambda *_: get_original("time", "sleep")(1.0))
        """,
        quiet=False,
    )
    assert trace["P"] == ["1 blocked true true", "unblocked true"]
