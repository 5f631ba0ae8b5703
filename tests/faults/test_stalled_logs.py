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
