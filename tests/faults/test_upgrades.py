"""USR2 with a new master that works, that cannot boot, and that is not waited for."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from deploy import CONF, DEPLOYED, write
from operator_desk import DOOR, Operator
from raw_http import GET, folder_of
from remote_control import said, wait, wait_said

from nodecluster_compat.ctl.client import ControlClient
from pytest_cluster import Cluster, assert_no_request_lost

HELD: Final = "import os, time\nwhile not os.path.exists('go.py'): time.sleep(0.01)"
"""A new master boots until the test writes ``go.py``."""
LIMITED: Final = CONF + "cluster.setup_primary(boot_timeout=1 if os.path.exists('version') else 30)\n"

UNBOOTABLE: Final = [
    pytest.param({"at_import": "raise ImportError('broken on purpose')"}, id="import error"),
    pytest.param({"after_boot": "import sys; sys.exit(5)"}, id="exit in post_worker_init"),
    pytest.param({"at_import": "import time; time.sleep(600)"}, id="hang"),
    pytest.param({"second": "raise ValueError('broken on purpose')"}, id="configuration"),
]


def end(cluster: Cluster, master: int) -> None:
    """TERM to a master that the plugin did not start."""
    os.kill(master, signal.SIGTERM)
    wait(lambda: not Path(f"/proc/{master}").exists(), "the end of the new master", cluster)


def usr2(cluster: Cluster, told: str) -> int:
    """USR2, and the pid of the new master, when the old one has been told about it."""
    cluster.primary.signal("SIGUSR2")
    (line,) = wait_said(cluster, told=told)
    pid: int = line["what"]
    return pid


@pytest.mark.table(
    quick=[],
    slow=["True-exit in post_worker_init", "False-hang", "False-configuration"],
)
@pytest.mark.cluster(app="deployed:app", config=LIMITED, workers=2)
@pytest.mark.parametrize("deploy", UNBOOTABLE)
@pytest.mark.parametrize("term", [False, True])
def test_new_master_that_cannot_boot(cluster: Cluster, deploy: dict[str, str], term: bool) -> None:
    """It ends by itself and the old one serves on, even if somebody was too quick to end that."""
    old = {worker.pid for worker in cluster.workers}
    write(cluster, version="1", **deploy)
    with cluster.client.load("/", concurrency=2, pause=0.01, timeout=30) as hits:
        cluster.primary.signal("SIGUSR2")
        if term:
            cluster.primary.signal("SIGTERM")
            wait(lambda: "TERM waits until" in cluster.log, "the TERM that waits", cluster)
        wait_said(cluster, told="upgrade_failed")
        wait(lambda: len(hits) > 50, "answers", cluster)
    assert_no_request_lost(hits)
    assert set(hits.by_text()) == {"0"}
    assert cluster.returncode is None
    assert ("is dropped" in cluster.log) is term
    assert all(Path(f"/proc/{pid}").exists() for pid in old)
    assert said(cluster, told="upgrade_ready") == []


PATIENT: Final = {"keepalive": 300, "graceful_timeout": 120}


@pytest.mark.cluster(app="draining:app", config=CONF, workers=1, settings=PATIENT)
def test_old_master_keeps_idle_connections(cluster: Cluster) -> None:
    """It ends, and the server does not: a client that kept its connection has one more answer."""
    with cluster.connect(timeout=30) as idle:
        idle.sendall(GET % (b"/", b""))
        assert b"Connection: keep-alive" in idle.recv(65536)
        new = usr2(cluster, told="upgrade_ready")
        cluster.primary.signal("SIGTERM")
        wait_said(cluster, told="process")
        idle.sendall(GET % (b"/", b""))
        assert b"Connection: close" in idle.recv(65536)
    wait(lambda: cluster.returncode is not None, "the end of the old master", cluster)
    end(cluster, new)


@pytest.mark.slow
@pytest.mark.cluster(**DEPLOYED, workers=2)
def test_term_waits_for_the_new_master(cluster: Cluster) -> None:
    """USR2 and TERM at once, with a slow import: no request fails, and in the end the new code answers."""
    write(cluster, version="1", at_import=HELD)
    with cluster.client.load("/", concurrency=2, pause=0.01, timeout=30) as hits:
        cluster.primary.signal("SIGUSR2")
        cluster.primary.signal("SIGTERM")
        wait(lambda: "TERM waits until" in cluster.log, "the TERM that waits", cluster)
        write(cluster, go="")
        (line,) = wait_said(cluster, told="upgrade_ready")
        wait(lambda: cluster.returncode is not None, "the end of the old master", cluster)
        wait(lambda: hits.by_text().get("1", 0) > 20, "answers of the new code", cluster)
    assert_no_request_lost(hits)
    assert cluster.returncode == 0
    end(cluster, line["what"])


@pytest.mark.slow
@pytest.mark.cluster(**DEPLOYED, workers=2)
def test_upgrade_can_be_undone_and_done(cluster: Cluster) -> None:
    """TERM to the new master leaves the old one as it was; the next attempt replaces it."""
    write(cluster, version="1")
    new = usr2(cluster, "upgrade_ready")
    end(cluster, new)
    assert {cluster.get("/").text for _ in range(6)} == {"0"}
    cluster.primary.signal("SIGUSR2")
    newer = wait_said(cluster, 2, told="upgrade_ready")[1]["what"]
    assert newer != new
    assert cluster.stop() == 0
    assert {cluster.get("/").text for _ in range(6)} == {"1"}
    end(cluster, newer)


@pytest.mark.table(quick=["SIGTERM"])
@pytest.mark.cluster(**DEPLOYED, workers=2)
@pytest.mark.parametrize("again", ["SIGTERM", "SIGINT", "SIGQUIT"])
def test_old_master_can_be_ended_before_the_new_one_is_ready(cluster: Cluster, again: str) -> None:
    """Whoever insists is obeyed."""
    write(cluster, version="1", at_import=HELD)
    go = (folder_of(cluster) / "go.py").resolve()
    cluster.primary.signal("SIGUSR2")
    cluster.primary.signal("SIGTERM")
    wait(lambda: "TERM waits until" in cluster.log, "the TERM that waits", cluster)
    cluster.primary.signal(again)
    wait(lambda: cluster.returncode is not None, "the end of the old master", cluster)
    go.touch()
    (pid,) = wait(lambda: masters(cluster), "the new master", cluster)
    wait(lambda: cluster.get("/").text == "1", "the new code", cluster)
    end(cluster, pid)


@pytest.mark.slow
@pytest.mark.cluster(**DEPLOYED, workers=1)
def test_term_to_both_masters_ends_both(cluster: Cluster) -> None:
    """As systemd does it to a whole group: the TERM that waits is carried out when the new master was told to end."""
    write(cluster, version="1", at_import=HELD)
    cluster.primary.signal("SIGUSR2")
    cluster.primary.signal("SIGTERM")
    wait(lambda: cluster.log.count("Starting gunicorn") == 2, "the new master", cluster)
    (pid,) = wait(lambda: masters(cluster), "the new master", cluster)
    os.kill(pid, signal.SIGTERM)
    write(cluster, go="")
    wait(lambda: cluster.returncode is not None, "the end of both", cluster)
    assert cluster.returncode == 0


STATUS: Final = CONF + "cluster.setup_primary(status_file='status.json')\n"


@pytest.mark.slow
@pytest.mark.cluster(app="deployed:app", config=STATUS, workers=1)
def test_status_file_is_that_of_the_master_in_charge(cluster: Cluster) -> None:
    """The new one's as soon as it is ready, the old one's again when that is undone."""
    path = folder_of(cluster) / "status.json"

    def owner() -> Any:
        text = path.read_text() if path.exists() else ""
        return int(text.partition('"pid": ')[2].partition(",")[0] or 0)

    wait(lambda: owner() == cluster.primary.pid, "the old master's status", cluster)
    new = usr2(cluster, "upgrade_ready")
    wait(lambda: owner() == new, "the new master's status", cluster)
    end(cluster, new)
    wait(lambda: owner() == cluster.primary.pid, "the old master's status again", cluster)


@pytest.mark.slow
@pytest.mark.cluster(app="deployed:app", config=CONF + DOOR, workers=1, fresh=True)
def test_path_is_that_of_the_master_in_charge(cluster: Cluster) -> None:
    """The new one takes it when it is ready, without a moment of absence, and keeps it; undone, the old one has it."""
    operator = Operator(cluster)
    with ControlClient(operator.path) as old:
        new = usr2(cluster, "upgrade_ready")
        wait(lambda: operator.get("status")["pid"] == new, "the new master's door", cluster)
        assert old.ask("cluster status")["pid"] == cluster.primary.pid
        end(cluster, new)
        wait(
            lambda: operator.run("live")[0] == 0 and operator.get("status")["pid"] == cluster.primary.pid,
            "the old master's door again",
            cluster,
        )
        assert old.ask("cluster status")["upgrade"] is None


@contextlib.contextmanager
def following(path: str, output: Path, *words: str) -> Iterator[Callable[[], str]]:
    """Let ``nodeclusterctl`` follow something; give what it has printed so far."""
    command = [sys.executable, "-m", "nodecluster_compat.ctl.main", words[0], "--control-socket", path, *words[1:]]
    with output.open("w") as out, subprocess.Popen(command, stdout=out) as process:
        try:
            yield output.read_text
            assert process.poll() is None
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.cluster(app="deployed:app", config=CONF + DOOR, workers=1)
def test_who_follows_goes_on_with_the_new_master(cluster: Cluster, tmp_path: Path) -> None:
    """The old one's end cuts the connection; events and logs of the new one follow, from their beginning."""
    operator = Operator(cluster)
    [old] = cluster.workers
    with (
        following(operator.path, tmp_path / "events", "events", "--follow", "--json") as events,
        following(operator.path, tmp_path / "logs", "logs", "1", "--follow", "--json") as logs,
    ):
        for follows in (events, logs):
            wait(lambda follows=follows: f'"pid": {old.pid}' in follows(), "what the old one tells", cluster)
        master = usr2(cluster, "upgrade_ready")
        assert cluster.stop() == 0
        wait(lambda: operator.get("status")["pid"] == master, "the new master's door", cluster)
        [new] = operator.get("workers")["workers"]
        for follows in (events, logs):
            wait(lambda follows=follows: f'"pid": {new["pid"]}' in follows(), "what the new one tells", cluster)
    end(cluster, master)


def masters(cluster: Cluster) -> list[int]:
    """The masters that are not the plugin's: those of its session that have said ``Starting``."""
    lines = [line for line in cluster.log.splitlines() if "Starting gunicorn" in line]
    return [int(line.split("[")[2].split("]")[0]) for line in lines][1:]
