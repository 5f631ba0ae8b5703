"""``nodeclusterctl`` and other clients of the control socket, with a real server that goes through everything."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gunicorn
import pytest
from deploy import CONF as DEPLOY_CONF
from deploy import write
from operator_desk import DOOR, Operator
from raw_http import rest_of
from remote_control import CONF, freeze, here, wait
from stock_client import HAS_STOCK_CLIENT, ask_as_stock

from pytest_cluster import Cluster, ClusterFactory

REMOTE_DOOR = {"app": "remote:app", "config": CONF + DOOR + "cluster.setup_primary(blocked_after=0.5)\n"}


STOCK_COMMANDS = ["show all", "show stats", "show config", "show listeners", "reopen", "help"]
NEEDS_ASGI = pytest.mark.skipif(gunicorn.version_info < (27, 0, 1), reason="ASGIWorker needs gunicorn 27.0.1")


def by_slot(operator: Operator) -> dict[int, dict[str, Any]]:
    return {one["slot"]: one for one in operator.get("workers")["workers"] if not one["is_leaving"]}


@pytest.mark.cluster(**REMOTE_DOOR, fresh=True, workers=2)
def test_operator_sees_and_steers_a_server(cluster: Cluster) -> None:
    """Each command does what it says, waits for it, and the status tells it."""
    operator = Operator(cluster)
    status = operator.get("status")
    assert (status["schema"], status["pid"], status["state"]) == (1, cluster.primary.pid, "running")
    assert (status["generation"], status["next_attempt_in"]) == (0, None)
    [listener] = status["listeners"]
    assert listener == {"address": f"127.0.0.1:{cluster.port}", "backlog": 0, "backlog_limit": 2048}
    assert sorted(one["slot"] for one in status["workers"]) == [1, 2]
    assert operator.run("live")[:2] == (0, "live: running, 2 of 2 workers listen\n")
    assert operator.run("ready")[:2] == (0, "ready: running, 2 of 2 workers listen\n")

    assert operator.run("scale", "+1")[:2] == (0, "3 workers, 2 before\n")
    before = by_slot(operator)
    assert set(before) == {1, 2, 3}
    assert operator.run("restart", "2")[:2] == (0, f"replaced: worker 2 (pid {before[2]['pid']})\n")
    after = by_slot(operator)
    assert after[2]["pid"] != before[2]["pid"]
    assert {after[slot]["pid"] for slot in (1, 3)} == {before[slot]["pid"] for slot in (1, 3)}
    started = cluster.journal.wait_for("listening", worker=after[2]["id"])
    assert started.seq < cluster.journal.wait_for("disconnect", worker=before[2]["id"]).seq

    operator.run("drain", "1")
    operator.run("kill", f"pid:{before[3]['pid']}")
    cluster.wait_listening(3)
    exits = operator.get("exits")["exits"]
    assert [(one["slot"], one["reason"], one["code"], one["signal"]) for one in exits] == [
        (2, "asked", 0, None),
        (1, "asked", 0, None),
        (3, "killed_by_server", None, "SIGKILL"),
    ]
    assert set(by_slot(operator)) == {1, 2, 3}

    done, out, progress = operator.run("reload")
    assert (done, out[:19]) == (0, "reload 1 succeeded ")
    assert "reload 1 rolling" in progress
    assert operator.get("status")["generation"] == 1
    wait(lambda: operator.get("status")["totals"]["exits"]["reload"] == 3, "the end of the old ones", cluster)
    assert set(by_slot(operator)) == {1, 2}  # as many as the configuration says
    cluster.workers[0].kill("KILL")
    wait(lambda: operator.get("exits")["exits"][-1]["reason"] == "killed_from_outside", "its end", cluster)
    told = [json.loads(line)["event"] for line in operator.run("events", "--json", "--last", "100")[1].splitlines()]
    assert {"fork", "online", "listening", "disconnect", "exit", "state", "reload"} <= set(told)
    assert "Traceback" not in cluster.log


@pytest.mark.cluster(**REMOTE_DOOR, workers=1)
def test_what_cannot_be_done_is_refused_in_a_sentence(cluster: Cluster) -> None:
    operator = Operator(cluster)
    for words, sentence in (
        (["drain", "9"], "there is no worker 9; the slots that are filled: 1"),
        (["kill", "pid:1"], "there is no worker pid:1; the slots that are filled: 1"),
        (["stacks", "bogus"], "expected a slot such as 2, pid:4711 or id:9, got 'bogus'"),
        (["scale", "0"], "expected 1 to 1024 workers in the end, got 0"),
        (["scale", "-1"], "expected 1 to 1024 workers in the end, got 0"),
        (["scale", "+x"], "expected a number of workers, +N or -N, got '+x'"),
        (["scale", "1000000000000"], "expected a number of workers, +N or -N, got '1000000000000'"),
    ):
        assert operator.run(*words) == (1, "", f"nodeclusterctl: {sentence}\n")
    assert (
        operator.run("drain", "9", "--json")[1] == '{"error": "there is no worker 9; the slots that are filled: 1"}\n'
    )
    assert operator.run("ready")[0] == 0


@pytest.mark.cluster(**REMOTE_DOOR, workers=1, fresh=True)
def test_worker_that_is_blocked_shows_what_it_does(cluster: Cluster) -> None:
    """And one that was stopped by a signal; neither can answer."""
    operator = Operator(cluster)
    [worker] = cluster.workers
    freeze(cluster, worker.pid)
    status, out, _ = operator.run("stacks", "1")
    assert (status, "no greenlets or tasks" in out) == (0, True)
    os.kill(worker.pid, signal.SIGCONT)
    wait(lambda: "Hub " in operator.run("stacks", "1")[1], "its greenlets", cluster)
    with ExitStack() as stack:
        client = stack.enter_context(cluster.connect(timeout=30))
        source = "import gevent.monkey\ndef _block():\n    gevent.monkey.get_original('time', 'sleep')(600)\n_block()"
        body = source.encode()
        client.sendall(b"POST /here HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        wait(lambda: operator.get("workers")["workers"][0]["health"] == "blocked", "its health", cluster)
        assert operator.run("ready")[:2] == (1, "not ready: running, 1 of 1 workers listen\n")
        assert operator.run("live")[0] == 0
        assert " blocked     worker=1 slot=1 " in operator.run("events")[1]
        assert "in _block" in operator.run("stacks", "1")[1]
        profile = operator.run("profile", "1", "--seconds", "0.2")[1]
        assert "_block (" in profile.splitlines()[0]
        assert operator.run("kill", "1")[0] == 0
    cluster.wait_listening(1)


@pytest.mark.cluster(**REMOTE_DOOR, workers=2, fresh=True)
def test_clients_that_never_read_keep_nobody_waiting(cluster: Cluster) -> None:
    """A hundred that are mute, that flood, that send half a frame: requests are served, and operators too."""
    operator = Operator(cluster)
    frame = json.dumps({"id": 1, "command": "cluster status"}).encode()
    half = struct.pack(">I", 5000) + b"{"
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(100)]
        for number, client in enumerate(clients):
            client.connect(operator.path)
            client.setblocking(False)
            if number % 3:
                client.send(half if number % 3 == 1 else (struct.pack(">I", len(frame)) + frame) * 50)
        for _ in range(20):
            assert here(cluster, "result = 1")["result"] == 1
        assert operator.run("ready")[0] == 0
        bad = stack.enter_context(socket.socket(socket.AF_UNIX))
        bad.connect(operator.path)
        bad.settimeout(30)
        bad.sendall(struct.pack(">I", 100 << 20) + b"x" * 4096)
        assert b"expected gunicorn's control protocol" in bad.recv(65536)
        assert operator.run("ready")[0] == 0
    assert "Traceback" not in cluster.log


@pytest.mark.cluster(**REMOTE_DOOR, workers=1, fresh=True)
def test_worker_tells_its_log_and_its_heap(cluster: Cluster) -> None:
    """The last lines of the log are in its exit, too."""
    operator = Operator(cluster)
    here(cluster, "import logging; logging.getLogger('gunicorn.error').error('a line of %s', 'the worker')")
    assert "[ERROR] a line of the worker\n" in operator.run("logs", "1")[1]
    before = operator.get("logs", "1")
    assert operator.run("heap", "1")[0] == 1
    assert operator.run("heap", "1", "--start")[1].startswith("tracing: ")
    here(cluster, "import builtins; builtins.kept = [bytes(1000) for _ in range(1000)]")
    lines = operator.get("heap", "1")["result"]["lines"]
    assert lines[0]["bytes"] > 1_000_000
    assert operator.get("heap", "1", "--stop")["result"] == {"tracing": False}
    profile = operator.get("profile", "1", "--seconds", "0.1", "--rate", "50")
    assert profile["profiles"][0]["type"] == "sampled"
    assert operator.get("logs", "1")["written"] >= before["written"]
    for words, sentence in (
        (["profile", "1", "--seconds", "301"], "expected seconds from 0.1 to 300, got '301'"),
        (["profile", "1", "--rate", "0"], "expected samples a second from 1 to 1000, got '0'"),
    ):
        assert operator.run(*words) == (1, "", f"nodeclusterctl: {sentence}\n")
    cluster.workers[0].kill("KILL")
    wait(lambda: operator.get("exits")["exits"], "its end", cluster)
    [last] = operator.get("exits")["exits"]
    assert any(line.endswith("[ERROR] a line of the worker") for line in last["last_words"])


@pytest.mark.table(quick=["asgi"])
@pytest.mark.parametrize(
    ("app", "kind"),
    [
        pytest.param("pid_echo:app", "ThreadWorker", id="threads"),
        pytest.param("asgi_app:app", "ASGIWorker", id="asgi", marks=NEEDS_ASGI),
    ],
)
def test_every_kind_of_worker_is_examined(cluster_factory: ClusterFactory, app: str, kind: str) -> None:
    cluster = cluster_factory(app=app, config=DOOR, worker_class=f"nodecluster_compat.{kind}", workers=1)
    operator = Operator(cluster)
    assert "Thread 0x" in operator.run("stacks", "1")[1] or "Current thread" in operator.run("stacks", "1")[1]
    assert operator.get("profile", "1", "--seconds", "0.1")["exporter"] == "nodeclusterctl"
    assert not operator.run("profile", "1", "--seconds", "0.2")[2].endswith(" 0 of an idle one\n")
    assert "Booting worker" in operator.run("logs", "1")[1]
    assert operator.run("restart", "1")[0] == 0
    assert operator.get("exits")["exits"][0]["reason"] == "asked"


@pytest.mark.cluster(**REMOTE_DOOR, workers=1)
def test_status_is_read_by_http(cluster: Cluster) -> None:
    operator = Operator(cluster)

    def get(path: str) -> tuple[str, Any]:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30)
            client.connect(operator.path)
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            data = rest_of(client)
        head, _, body = data.decode().partition("\r\n\r\n")
        return head.split("\r\n", 1)[0], json.loads(body)

    assert get("/livez")[0] == get("/readyz")[0] == "HTTP/1.1 200 OK"
    assert get("/status.json")[1]["pid"] == cluster.primary.pid


def test_without_a_server_the_exit_status_is_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the sentence says where it was looked for; the path may be stale."""
    import contextlib
    import io

    from nodecluster_compat.ctl.main import main

    stale = tmp_path / "stale"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(stale))
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.delenv("NODECLUSTER_CONTROL_SOCKET", raising=False)
    for words, sentence in (
        (["live", "--control-socket", str(stale)], f"{stale} (--control-socket): Connection refused"),
        (["live"], f"{runtime}/gunicorn.ctl (gunicorn's default, by XDG_RUNTIME_DIR): No such file or directory"),
    ):
        err = io.StringIO()
        with contextlib.redirect_stderr(err):
            assert main(words) == 2
        assert err.getvalue() == f"nodeclusterctl: no server answers on {sentence}\n"
    monkeypatch.setenv("NODECLUSTER_CONTROL_SOCKET", str(stale))
    with contextlib.redirect_stderr(err):
        assert main(["status"]) == 2
    assert f"{stale} (NODECLUSTER_CONTROL_SOCKET)" in err.getvalue()


# --- reloads that fail, crash loops, upgrades, and others on the same path -------------------------


@pytest.mark.cluster(app="deployed:app", config=DEPLOY_CONF + DOOR, workers=1, fresh=True)
def test_boot_that_hangs_shows_where(cluster: Cluster) -> None:
    operator = Operator(cluster)
    write(cluster, version="1", at_import="import time\ndef hang_here(): time.sleep(600)\nhang_here()")
    operator.run("reload", "--no-wait")
    wait(lambda: "hang_here" in operator.run("stacks")[1], "the stack of the boot", cluster)
    booting = max(operator.get("workers")["workers"], key=lambda one: one["id"])
    assert booting["state"] == "online"
    assert operator.run("kill", f"id:{booting['id']}")[0] == 0
    wait(lambda: operator.get("status")["reload"]["state"] == "failed", "the end of the reload", cluster)
    assert "Booting worker" in operator.run("logs", f"id:{booting['id']}")[1]
    told = operator.run("events", "--json", "--last", "9")[1]
    assert '"event": "reload", "number": 1, "state": "failed"' in told


@pytest.mark.cluster(app="deployed:app", config=DEPLOY_CONF + DOOR, workers=1, fresh=True)
def test_client_stays_through_a_crash_loop_and_a_failed_reload(cluster: Cluster) -> None:
    """The same connection answers all the time, and the exits say why."""
    operator = Operator(cluster)
    from nodecluster_compat.ctl.client import ControlClient

    with ControlClient(operator.path) as client:
        write(cluster, version="1", at_import="raise ImportError('broken on purpose')")
        status, out, _ = operator.run("reload")
        assert (status, "failed" in out) == (1, True)
        told = client.ask("cluster status")
        assert (told["generation"], told["reload"]["state"], told["listening"]) == (0, "failed", 1)
        [last] = told["exits"]
        assert (last["reason"], last["code"]) == ("crash", 3)
        assert last["how"] == "exited with code 3 while booting"
        cluster.workers[0].kill("KILL")
        wait(lambda: client.ask("cluster status")["next_attempt_in"], "a back-off", cluster)
        write(cluster, version="2", at_import="")
        wait(lambda: client.ask("cluster ready")["ready"], "the end of the crash loop", cluster)


def test_two_servers_do_not_take_each_others_path(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    """The second serves without, says why, and has the path when the first one has gone."""
    path = tmp_path / "ctl"
    config = f"from nodecluster_compat import cluster\ncluster.setup_primary(control_socket={str(path)!r})\n"
    first = cluster_factory(workers=1, config=config)
    second = cluster_factory(workers=1, config=config, fresh=True)
    wait(lambda: f"found the server with pid {first.primary.pid}" in second.log, "the sentence", second)
    operator = Operator(first)
    operator.path = str(path)
    assert operator.get("status")["pid"] == first.primary.pid
    assert second.get("/").status == 200
    assert first.stop() == 0
    wait(lambda: path.exists() and operator.get("status")["pid"] == second.primary.pid, "the path", second)


SCRIPT = """
import os, sys
from nodecluster_compat import cluster, http, process

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]

if cluster.is_primary:
    cluster.setup_primary(control_socket="ctl")
    one, two = cluster.fork(), cluster.fork()
    cluster.on("listening", lambda *_: print("listening", flush=True))
else:
    http.create_server(app).listen(0, "127.0.0.1")
"""


@pytest.mark.slow
def test_script_has_the_same_door(tmp_path: Path) -> None:
    """Where it was asked for; what only server mode can is refused."""
    (tmp_path / "server.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "nodecluster_compat", "server.py"]
    operator = Operator.__new__(Operator)
    operator.path = str(tmp_path / "ctl")
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as primary:
        assert primary.stdout is not None
        assert [primary.stdout.readline() for _ in range(2)] == ["listening\n"] * 2
        while not (tmp_path / "ctl").exists():
            assert primary.poll() is None
        status = operator.get("status")
        assert (status["mode"], status["state"], len(status["listeners"])) == ("script", "running", 1)
        assert set(by_slot(operator)) == {1, 2}
        assert operator.run("ready")[0] == 0
        assert operator.run("stacks", "2")[1].startswith("--- worker 2 ")
        for words in (["scale", "3"], ["reload"], ["restart"]):
            done, _, sentence = operator.run(*words)
            assert (done, "in script mode" in sentence) == (1, True)
        for words in STOCK_COMMANDS if HAS_STOCK_CLIENT else ():
            ask_as_stock(operator.path, words, as_json=False)
        assert primary.poll() is None
        assert operator.run("drain", "1")[0] == 0
        assert operator.run("kill", "2", "--no-wait")[0] == 0
        assert primary.wait(30) == 0
    assert not (tmp_path / "ctl").exists()
