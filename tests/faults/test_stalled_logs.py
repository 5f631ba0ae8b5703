"""Nobody reads the log: the primary serves on, and says everything when it flows again."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

import pytest
from remote_control import REMOTE, ask, wait

from pytest_cluster import ClusterFactory

MUCH: Final = """
for number in range(100):
    server.log.warning("%s %s", number, "x" * 1000)
"""


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
    assert f"expected the log ({fifo}) to be opened within 1 s, but it hangs" in reason
    [killed, _] = cluster.workers
    killed.kill()
    assert killed.id not in {one.id for one in cluster.wait_listening()}
    assert cluster.get("/").status == 200
    assert cluster.stop() == 0
