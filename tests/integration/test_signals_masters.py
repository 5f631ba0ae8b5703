"""USR2 with pid files, WINCH, daemons and rolling back: two masters on the same sockets."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from raw_http import APPS, GUNICORN, folder_of, parent_of, until
from remote_control import state_of, wait, wait_logged
from second_master import wait_later

from pytest_cluster import Cluster

DAEMON = """
from nodecluster_compat import cluster
control_socket_disable = True
graceful_timeout = 10
def note(*words): print(*words, file=open('events', 'a', buffering=1))
cluster.on('listening', lambda worker, address: note('listening', worker.process.pid, address.port))
cluster.on('exit', lambda worker, code, signal: note('exit', worker.process.pid, code, signal))
def on_exit(server): note('on_exit', server.pid)
"""


class Daemon:
    """Two workers that left their session; what happens is in the file ``events``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.address = probe.getsockname()
        (folder / "gunicorn.conf.py").write_text(DAEMON)
        options = ["-D", "-p", "pid", "-k", "nodecluster_compat.Worker", "-w", "2", "--log-file", "log"]
        bind = f"{self.address[0]}:{self.address[1]}"
        subprocess.run(
            [GUNICORN, *options, "-b", bind, "--pythonpath", str(APPS), "pid_echo:app"], check=True, cwd=folder
        )

    @property
    def events(self) -> list[list[str]]:
        """The lines of the file, in words."""
        path = self.folder / "events"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def listening(self) -> set[int]:
        """Pids of workers that have said ``listening`` and have not exited."""
        pids = {int(words[1]) for words in self.events if words[0] == "listening"}
        return pids - {int(words[1]) for words in self.events if words[0] == "exit"}

    def pid(self, name: str = "pid") -> int:
        """What a pid file says; 0 when there is none."""
        path = self.folder / name
        return int(path.read_text() or 0) if path.exists() else 0

    def ask(self) -> bytes:
        """One answer."""
        with socket.create_connection(self.address, timeout=20) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return client.makefile("rb").read()


@contextmanager
def ended(daemon: Daemon) -> Iterator[Daemon]:
    """Wait for two workers; leave no master behind."""
    masters: set[int] = set()
    try:
        until(lambda: daemon.pid() and len(daemon.listening()) == 2, "two workers")
        masters.add(daemon.pid())
        yield daemon
    finally:
        masters |= {daemon.pid(), daemon.pid("pid.2")} - {0}
        for master in masters:
            if Path(f"/proc/{master}").exists():
                os.kill(master, signal.SIGTERM)
        until(lambda: not any(Path(f"/proc/{master}").exists() for master in masters), "the end of every master")


@pytest.mark.slow
def test_upgrade_of_a_daemon_by_usr2_winch_and_quit(tmp_path: Path) -> None:
    """gunicorn's recipe: USR2, WINCH to the old master, then QUIT; the new one is promoted and has the pid file."""
    with ended(Daemon(tmp_path)) as daemon:
        old, before = daemon.pid(), daemon.listening()
        os.kill(old, signal.SIGUSR2)
        until(lambda: len(daemon.listening()) == 4, "two workers more")
        new = daemon.pid("pid.2")
        os.kill(old, signal.SIGWINCH)
        until(lambda: not daemon.listening() & before, "the end of the old workers")
        assert all(
            daemon.ask().startswith(b"HTTP/1.1 200") or daemon.ask().startswith(b"HTTP/1.0 200") for _ in range(6)
        )
        os.kill(old, signal.SIGQUIT)
        until(lambda: daemon.pid() == new and not daemon.pid("pid.2"), "the promotion")
        assert b"200 OK" in daemon.ask()
        after = daemon.listening()
        os.kill(new, signal.SIGHUP)
        until(lambda: len(daemon.listening() - after) == 2 and not daemon.listening() & after, "a new generation")
        assert b"200 OK" in daemon.ask()
    assert {words[2:] == ["0", "None"] for words in daemon.events if words[0] == "exit"} == {True}


@pytest.mark.slow
def test_upgrade_of_a_daemon_is_rolled_back_by_hup(tmp_path: Path) -> None:
    """After WINCH the old master has no workers; HUP brings them back, QUIT to the new one ends the attempt."""
    with ended(Daemon(tmp_path)) as daemon:
        old, before = daemon.pid(), daemon.listening()
        os.kill(old, signal.SIGUSR2)
        until(lambda: len(daemon.listening()) == 4, "two workers more")
        new = daemon.pid("pid.2")
        others = daemon.listening() - before
        os.kill(old, signal.SIGWINCH)
        until(lambda: not daemon.listening() & before, "the end of the old workers")
        os.kill(old, signal.SIGHUP)
        until(lambda: len(daemon.listening() - others) == 2, "workers of the old master")
        os.kill(new, signal.SIGQUIT)
        until(lambda: not Path(f"/proc/{new}").exists() or state_of(new) == "Z", "the end of the new master")
        until(lambda: not daemon.pid("pid.2"), "the removal of its pid file")
        assert (daemon.pid(), daemon.listening() & others) == (old, set())
        assert b"200 OK" in daemon.ask()


@pytest.mark.slow
@pytest.mark.cluster(workers=1, settings={"pidfile": "pid"})
def test_promotion_renames_the_pid_file(cluster: Cluster) -> None:
    """``pid.2`` becomes ``pid`` when the old master has gone, and goes with the new one."""
    folder = folder_of(cluster)
    old, first = cluster.primary.pid, cluster.workers[0]
    cluster.primary.signal("SIGUSR2")
    (successor,) = wait_later(cluster, "listening")
    new = int((folder / "pid.2").read_text())
    assert (int((folder / "pid").read_text()), parent_of(successor.pid or 0)) == (old, new)
    cluster.primary.signal("SIGUSR2")
    wait(lambda: "USR2 signal ignored. Child exists." in cluster.log, "the refusal of a second child", cluster)
    os.kill(new, signal.SIGUSR2)
    wait(lambda: "USR2 signal ignored. Parent exists." in cluster.log, "the refusal of a grandchild", cluster)
    assert cluster.stop() == 0
    wait(lambda: not (folder / "pid.2").exists(), "the promotion", cluster)
    assert int((folder / "pid").read_text()) == new
    wait_logged(cluster, "Master has been promoted")
    assert cluster.journal.wait_for("exit", worker=first.id, predicate=lambda one: one.pid == first.pid).code == 0
    assert cluster.get("/").json()["pid"] == successor.pid
    os.kill(new, signal.SIGTERM)
    wait(lambda: not (folder / "pid").exists(), "the end of the new master", cluster)


@pytest.mark.slow
@pytest.mark.cluster(workers=2)
def test_new_master_can_upgrade_in_turn(cluster: Cluster) -> None:
    """USR2 to a promoted master works as it did the first time."""
    masters = [cluster.primary.pid]
    for turn in (1, 2):
        seen = len(cluster.journal.later)
        os.kill(masters[-1], signal.SIGUSR2)
        listening = wait_later(cluster, "listening", 2, since=seen)
        masters.append(parent_of(listening[0].pid or 0))
        os.kill(masters[-2], signal.SIGTERM)
        wait(lambda turn=turn: cluster.log.count("Master has been promoted") == turn, "the promotion", cluster)
        assert {cluster.get("/").status for _ in range(4)} == {200}
    os.kill(masters[-1], signal.SIGTERM)
    wait(lambda: not Path(f"/proc/{masters[-1]}").exists(), "the end", cluster)


@pytest.mark.slow
@pytest.mark.cluster(workers=2)
def test_new_master_that_cannot_start_leaves_the_old_one(cluster: Cluster) -> None:
    """A broken configuration ends the new master alone; another USR2 is possible then."""
    conf = folder_of(cluster) / "gunicorn.conf.py"
    text = conf.read_text()
    conf.write_text(text + "\nraise ValueError('broken on purpose')\n")
    cluster.primary.signal("SIGUSR2")
    wait(lambda: "broken on purpose" in cluster.log, "the failure", cluster)
    assert {cluster.get("/").status for _ in range(4)} == {200}
    conf.write_text(text)

    def second_try() -> bool:
        cluster.primary.signal("SIGUSR2")
        return cluster.log.count("Starting gunicorn") == 2

    wait(second_try, "a new master", cluster)
    new = wait_later(cluster, "listening", 2)
    os.kill(parent_of(new[0].pid or 0), signal.SIGTERM)
    wait_later(cluster, "exit", 2)


@pytest.mark.cluster(workers=2)
def test_winch_means_nothing_to_a_master_with_a_terminal(cluster: Cluster) -> None:
    """A resized window is no reason to end workers."""
    before = [one.pid for one in cluster.workers]
    cluster.primary.signal("SIGWINCH")
    wait(lambda: "Handling signal: winch" in cluster.log, "the signal", cluster)
    assert {cluster.get("/").json()["pid"] for _ in range(2)} == set(before)
