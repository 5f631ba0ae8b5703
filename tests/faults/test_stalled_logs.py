"""Nobody reads the log: the primary serves on, and says everything when it flows again."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Final

import pytest
from remote_control import CONF, REMOTE, ask, wait

from pytest_cluster import Cluster, ClusterFactory

MUCH: Final = """
for number in range(100):
    server.log.warning("%s %s", number, "x" * 1000)
"""


FULL: Final = """
import socket
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
    filler.connect({path!r})
    while True:
        try:
            filler.send(b"x", socket.MSG_DONTWAIT)
        except BlockingIOError:
            break
server.log.error("nobody reads this")
"""


def goes_on(cluster: Cluster) -> None:
    """A worker that is killed is reaped, a successor is forked, requests are answered, and TERM ends the server.

    The successor may wait for the log, as stock gunicorn's would.
    """
    cluster.workers[0].kill()
    cluster.journal.wait_for("exit", worker=1)
    cluster.journal.wait_for("fork", worker=3)
    assert cluster.get("/").status == 200
    assert cluster.stop() == 0


@pytest.mark.cluster(**REMOTE)
def test_log_that_nobody_reads_keeps_no_client_waiting(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    """Before, while and after it stalls, through USR1; then every line is there, in order."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    cluster = cluster_factory(workers=1, settings={"errorlog": str(fifo)})
    ask(cluster, "primary", MUCH)
    cluster.primary.signal("USR1")
    cluster.primary.signal("WINCH")
    assert [cluster.get("/").status for _ in range(3)] == [200] * 3

    said = b""

    def has_flowed() -> bool:
        nonlocal said
        with contextlib.suppress(BlockingIOError):
            said += os.read(reader, 1 << 20)
        return b"99 xxx" in said and b"Handling signal: usr1" in said

    wait(has_flowed, "the whole log", cluster)
    numbers = [line.split()[-2] for line in said.decode().splitlines() if line.endswith("xxx")]
    assert numbers == [str(number) for number in range(100)]
    assert cluster.get("/").status == 200
    assert cluster.stop() == 0
    os.close(reader)


@pytest.mark.cluster(**REMOTE)
def test_reload_whose_log_hangs_fails_and_the_primary_goes_on(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    """Opening a FIFO that nobody reads waits for ever: so it reaps, starts, deals and ends, and never opens it."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    cluster = cluster_factory(workers=2, settings={"errorlog": str(fifo)})
    os.close(reader)
    cluster.primary.signal("HUP")
    look = "report = server.status().reload; result = report and (report.state, report.reason)"
    state, reason = wait(lambda: ask(cluster, "primary", look), "the end of the reload", cluster)
    assert state == "failed"
    assert f"expected the log ({fifo}) to be opened within 3 s, but it hangs" in reason
    goes_on(cluster)


@pytest.mark.cluster(**REMOTE)
def test_syslog_that_nobody_reads_holds_up_neither_forks_nor_the_end(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    """Its handler waits with its lock held, which a fork and ``logging.shutdown`` would want."""
    path = str(tmp_path / "syslog")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(path)
        settings = {"syslog": True, "syslog_addr": f"unix://{path}#dgram", "disable_redirect_access_to_syslog": True}
        cluster = cluster_factory(workers=2, settings=settings, config=CONF + "graceful_timeout = 1\n")
        ask(cluster, "primary", FULL.format(path=path))
        goes_on(cluster)


@pytest.mark.cluster(**REMOTE)
def test_log_that_cannot_be_opened_again_holds_up_neither_forks_nor_the_end(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    """USR1 opens a FIFO that nobody reads any more, on the log's own thread."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    cluster = cluster_factory(workers=2, settings={"errorlog": str(fifo)}, config=CONF + "graceful_timeout = 1\n")
    os.close(reader)
    cluster.primary.signal("USR1")
    ask(cluster, "primary", "result = 1")
    goes_on(cluster)
