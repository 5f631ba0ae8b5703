"""gunicorn's server hooks run where, when and with what gunicorn documents."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from remote_control import wait
from second_master import wait_later

from pytest_cluster import Cluster, ClusterFactory
from pytest_cluster.waiting import poll

HOOKS = """
import json, os
from nodecluster_compat import cluster

def note(name, *facts):
    with open("hooks", "a") as log:
        log.write(json.dumps([name, os.getpid(), *facts]) + "\\n")

def on_starting(server): note("on_starting", type(server).__name__)
def when_ready(server): note("when_ready", type(server).__name__)
def pre_fork(server, worker): note("pre_fork", worker.age)
def post_fork(server, worker): note("post_fork", worker.age, cluster.is_worker, cluster.worker.id)
def post_worker_init(worker): note("post_worker_init", [list(s.sock.getsockname()) for s in worker.sockets])
def worker_int(worker): note("worker_int")
def pre_request(worker, req): note("pre_request", req.path)
def post_request(worker, req, environ, resp): note("post_request", req.path, resp.status)
def child_exit(server, worker): note("child_exit", worker.pid)
def worker_exit(server, worker): note("worker_exit", worker.pid)
def nworkers_changed(server, new, old): note("nworkers_changed", new, old)
def on_reload(server): note("on_reload")
def on_exit(server): note("on_exit")
"""


def notes(cluster_folder: Path) -> list[list[object]]:
    """What the hooks wrote down."""
    return [json.loads(line) for line in (cluster_folder / "hooks").read_text().splitlines()]


@pytest.mark.cluster(workers=1, config=HOOKS)
def test_hooks_run_in_order_with_their_arguments(cluster: Cluster) -> None:
    """From the start over a request and a reload to the end."""
    folder = Path(f"/proc/{cluster.primary.pid}/cwd").resolve()
    first = cluster.workers[0]
    assert cluster.get("/x").status == 200
    cluster.primary.signal("SIGHUP")
    cluster.journal.wait_for("exit", worker=first.id)
    wait(lambda: any(note[0] == "child_exit" for note in notes(folder)), "child_exit", cluster)
    told = notes(folder)
    primary, worker = cluster.primary.pid, first.pid
    in_primary = [note[0] for note in told if note[1] == primary]
    in_worker = [note[0] for note in told if note[1] == worker]
    assert in_primary[:4] == ["nworkers_changed", "on_starting", "when_ready", "pre_fork"]
    assert [name for name in in_primary if name in ("on_reload", "child_exit")] == ["on_reload", "child_exit"]
    assert in_worker == ["post_fork", "post_worker_init", "pre_request", "post_request", "worker_exit"]
    by_name = {str(note[0]): note for note in told if note[1] in (primary, worker)}
    assert by_name["on_starting"][2] == "Arbiter"
    assert by_name["when_ready"][2] == "ClusterArbiter"
    assert by_name["post_fork"][2:] == [1, True, 1]
    assert by_name["post_worker_init"][2] == [["127.0.0.1", cluster.port]]
    assert by_name["post_request"][2:] == ["/x", "200 OK"]
    assert by_name["child_exit"][2] == worker
    assert cluster.stop() == 0


ENDS = """
def note(name): open("hooks", "a").write(name + " ")
def worker_int(worker): note("worker_int")
def worker_abort(worker): note("worker_abort")
def pre_exec(server): note("pre_exec")
"""


@pytest.mark.slow
@pytest.mark.cluster(workers=2, config=ENDS)
def test_hooks_of_signals_run(cluster: Cluster) -> None:
    """``worker_int`` at QUIT, ``worker_abort`` at ABRT, ``pre_exec`` before a second master."""
    hooks = Path(f"/proc/{cluster.primary.pid}/cwd").resolve() / "hooks"
    for sig, name in ((signal.SIGQUIT, "worker_int"), (signal.SIGABRT, "worker_abort")):
        victim = cluster.workers[0]
        victim.kill(sig)
        cluster.journal.wait_for("exit", worker=victim.id)
        assert name in hooks.read_text()
        cluster.wait_listening(2)
    cluster.primary.signal("SIGUSR2")
    born = wait_later(cluster, "listening")[0]
    assert "pre_exec" in hooks.read_text()
    os.kill(int(Path(f"/proc/{born.pid}/stat").read_text().rsplit(")")[1].split()[1]), signal.SIGTERM)
    wait_later(cluster, "exit", 2)


CHANGE = """
import os
if os.path.exists("second"):
    exec(open("second").read())
"""


@pytest.mark.cluster(workers=2, config=CHANGE)
def test_reload_may_change_the_address(cluster: Cluster) -> None:
    """The old address is closed, the new one is served."""
    folder = Path(f"/proc/{cluster.primary.pid}/cwd").resolve()
    (folder / "second").write_text("bind = '[::1]:0'\n")
    before = cluster.journal.last_seq
    cluster.primary.signal("SIGHUP")
    new = cluster.journal.wait_for("listening", after=before)
    assert new.address is not None
    assert new.address.address_type == 6
    for worker in (1, 2):
        cluster.journal.wait_for("exit", worker=worker, after=before)
    with pytest.raises(ConnectionRefusedError):
        cluster.get("/")


@pytest.mark.cluster(workers=2, config=CHANGE)
def test_reload_may_change_the_worker_class(cluster: Cluster) -> None:
    """Away from ours: the stock workers accept for themselves, on the same socket."""
    folder = Path(f"/proc/{cluster.primary.pid}/cwd").resolve()
    (folder / "second").write_text("worker_class = 'sync'\n")
    before = cluster.journal.last_seq
    cluster.primary.signal("SIGHUP")
    for worker in (1, 2):
        cluster.journal.wait_for("exit", worker=worker, after=before)
    assert cluster.get("/").json()["worker"] is None
    assert cluster.stop() == 0


DIRTY = """
from gunicorn.dirty import DirtyApp

class Adder(DirtyApp):
    def init(self): pass
    def __call__(self, action, *args, **kwargs): return sum(args)
    def close(self): pass
"""


def test_dirty_workers_start_and_stop_beside_ours(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    """They are another tree of processes, which holds none of our channels and is gone at the end."""
    pytest.importorskip("gunicorn.dirty", reason="gunicorn has dirty workers from 25.0 on")
    (tmp_path / "adder.py").write_text(DIRTY)
    apps = str(Path(__file__).parents[1] / "apps")
    settings = {"pythonpath": f"{apps},{tmp_path}", "dirty_apps": ["adder:Adder"], "dirty_workers": 1}
    server = cluster_factory(workers=2, settings=settings)
    assert {server.get("/").status for _ in range(4)} == {200}
    assert server.stop() == 0


def test_control_socket_changes_the_number_of_workers(cluster_factory: ClusterFactory) -> None:
    """``gunicornc`` talks to the arbiter from a thread; our loop wakes up for it."""
    gunicornc = Path(sys.executable).parent / "gunicornc"
    if not gunicornc.exists():
        pytest.skip("gunicorn has gunicornc from 25.1 on")
    server = cluster_factory(workers=1, settings={"control_socket_disable": False, "control_socket": "ctl"})
    path = Path(f"/proc/{server.primary.pid}/cwd").resolve() / "ctl"
    wait(path.exists, "the control socket", server)
    subprocess.run([str(gunicornc), "-s", str(path), "-c", "worker add 1"], check=True, capture_output=True)
    assert len(server.wait_listening(2)) == 2


@pytest.mark.slow
def test_daemon_drops_and_brings_back_its_workers(tmp_path: Path) -> None:
    """WINCH leaves a daemon without workers, HUP brings them back; clients wait meanwhile."""
    apps = str(Path(__file__).parents[1] / "apps")
    script = os.path.join(os.path.dirname(sys.executable), "gunicorn")
    (tmp_path / "gunicorn.conf.py").write_text(
        "from nodecluster_compat import cluster\n"
        "control_socket_disable = True\n"
        "log = open('events', 'a', buffering=1)\n"
        "cluster.on('listening', lambda worker, address: print('listening', address.port, file=log))\n"
        "cluster.on('exit', lambda worker, code, signal: print('exit', code, signal, file=log))\n"
    )
    options = ["-D", "-p", "pid", "-k", "nodecluster_compat.Worker", "-w", "2", "-b", "127.0.0.1:0"]
    subprocess.run([script, *options, "--pythonpath", apps, "pid_echo:app"], check=True, cwd=tmp_path)
    events, pid_file = tmp_path / "events", tmp_path / "pid"

    def count(word: str) -> int:
        return events.read_text().count(word) if events.exists() else 0

    wait_until(lambda: pid_file.exists() and count("listening") == 2)
    master = int(pid_file.read_text())
    try:
        os.kill(master, signal.SIGWINCH)
        wait_until(lambda: count("exit 0 None") == 2)
        os.kill(master, signal.SIGHUP)
        wait_until(lambda: count("listening") == 4)
    finally:
        os.kill(master, signal.SIGTERM)
        wait_until(lambda: not Path(f"/proc/{master}").exists())


def wait_until(check: Callable[[], bool]) -> None:
    """Wait until ``check`` is true."""
    assert poll(check, 50)
