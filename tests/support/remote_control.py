"""Run source in any process of a cluster of ``remote:app``, and read what the processes say in the log.

``REMOTE`` is what the marker needs: ``@pytest.mark.cluster(**REMOTE, workers=3)``.
"""

from __future__ import annotations

import http.client
import json
import os
import selectors
import signal
import socket
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from pytest_cluster import Cluster
from pytest_cluster.server.leaks import is_stopped
from pytest_cluster.waiting import poll

__all__ = [
    "CONF",
    "REMOTE",
    "Gate",
    "ask",
    "cpu_ticks",
    "freeze",
    "healthy",
    "here",
    "occupy",
    "open_fds",
    "opened_by",
    "resident_bytes",
    "said",
    "state_of",
    "tell",
    "wait",
    "wait_ended",
    "wait_logged",
    "wait_said",
]

T = TypeVar("T")

CONF: Final = (Path(__file__).parents[1] / "apps" / "conf_remote.py").read_text()
REMOTE: Final[dict[str, Any]] = {"app": "remote:app", "config": CONF, "fresh": True}
PATIENCE: Final = 20.0


def here(cluster: Cluster, source: str) -> Any:
    """Run ``source`` in whichever worker has its turn; return the whole answer."""
    return _request(cluster, "/here", source)


def ask(cluster: Cluster, where: str, source: str) -> Any:
    """Run ``source`` in the ``"primary"`` or in ``"worker/2"``; return its ``result``."""
    return _request(cluster, f"/{where}", source)["result"]


def tell(cluster: Cluster, where: str, source: str) -> None:
    """Run ``source`` somewhere; it may be the end of whoever would answer."""
    with suppress(http.client.RemoteDisconnected, ConnectionError):
        _request(cluster, f"/{where}?tell", source)


def said(cluster: Cluster, **facts: Any) -> list[dict[str, Any]]:
    """Return the lines of JSON in the log that have these facts, in order."""
    return [one for one in _spoken(cluster) if facts.items() <= one.items()]


def wait_said(cluster: Cluster, times: int = 1, **facts: Any) -> list[dict[str, Any]]:
    """Wait until the log has at least ``times`` lines with these facts."""

    def enough() -> list[dict[str, Any]] | None:
        lines = said(cluster, **facts)
        return lines if len(lines) >= times else None

    return wait(enough, f"{times} x {facts}", cluster)


def wait(check: Callable[[], T | None], what: str, cluster: Cluster) -> T:
    """Wait until ``check`` returns something true, and return it."""
    result = poll(check, PATIENCE)
    assert result, f"expected {what}, which did not happen; the log ends with\n{cluster.log_tail}"
    return result


def wait_logged(cluster: Cluster, text: str) -> None:
    """Wait until the log has this text: the primary's lines are written by a thread, which may be late by a moment."""
    wait(lambda: text in cluster.log, f"{text!r} in the log", cluster)


def wait_ended(cluster: Cluster, times: int = 1, **facts: Any) -> list[dict[str, Any]]:
    """Wait until ``exit`` was told to the handlers ``times`` times, and the journal says so too."""
    lines = wait_said(cluster, times, saw="cluster", event="exit", **facts)
    for line in lines:
        cluster.journal.wait_for("exit", worker=line["worker"])
    return lines


def healthy(cluster: Cluster) -> bool:
    """Whether the cluster has all its workers, each serves its share, and the primary has never ended."""
    assert cluster.returncode is None, cluster.log_tail

    def even() -> bool:
        workers = {one.id: 3 for one in cluster.wait_listening()}
        return Counter(cluster.get("/").json()["worker"] for _ in range(3 * len(workers))) == workers

    # A worker that had been full says that it has room within a second.
    return wait(even, "three answers of each worker", cluster)


def open_fds(pid: int) -> int:
    """How many descriptors a process has."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu_ticks(pid: int) -> int:
    """What a process has used of the processor, in hundredths of a second."""
    with open(f"/proc/{pid}/stat", "rb") as stat:
        fields = stat.read().rpartition(b")")[2].split()
    return int(fields[11]) + int(fields[12])


def resident_bytes(pid: int) -> int:
    """How much memory a process has in RAM."""
    with open(f"/proc/{pid}/statm", "rb") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def state_of(pid: int) -> str:
    """The letter of a process' state: ``T`` once it is stopped; ``X`` when there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[0].decode()
    except (FileNotFoundError, ProcessLookupError):  # of the second: between opening and reading
        return "X"


def freeze(cluster: Cluster, pid: int) -> None:
    """SIGSTOP a process and wait until it stands still."""
    os.kill(pid, signal.SIGSTOP)
    wait(lambda: is_stopped(pid), f"process {pid} to be stopped", cluster)


def occupy(cluster: Cluster, stack: ExitStack) -> socket.socket:
    """Give the one of two workers that stands still a connection; return the one that is answered last.

    It may be answered already: what a worker does not take is given to another that is idle.
    """
    clients = [stack.enter_context(cluster.connect(timeout=PATIENCE)) for _ in range(2)]
    for client in clients:
        client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client, selectors.EVENT_READ)
        (answered, _), *_ = selector.select(PATIENCE)
    (waiting,) = (client for client in clients if client is not answered.fileobj)
    return waiting


class Gate:
    """A FIFO that blocks a whole worker, as a computation or a call into a library does, until it is opened."""

    def __init__(self, folder: Path, name: str = "gate") -> None:
        self.path = folder / name
        os.mkfifo(self.path)
        self._fd = -1

    @property
    def source(self) -> str:
        """What to run in the worker: returns when the gate is opened."""
        return f"fd = os.open({str(self.path)!r}, os.O_RDONLY); os.read(fd, 1); os.close(fd)\n"

    def entered(self, cluster: Cluster) -> int:
        """Wait until a worker stands before the gate; return its pid."""

        def opened() -> bool:
            try:
                self._fd = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                return False
            return True

        def at_gate() -> int | None:
            return next((one.pid for one in cluster.workers if str(self.path) in opened_by(one.pid)), None)

        wait(opened, "a worker at the gate", cluster)
        return wait(at_gate, "a worker at the gate", cluster)

    def open(self) -> None:
        """Let the worker go on; a second call is a no-op."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


def _request(cluster: Cluster, path: str, source: str) -> Any:
    answer = cluster.request("POST", path, body=textwrap.dedent(source).encode(), timeout=PATIENCE).json()
    result = answer["result"]
    assert not (isinstance(result, dict) and "raised" in result), result["raised"]
    return answer


def opened_by(pid: int) -> Iterator[str]:
    """What the descriptors of a process refer to: paths, ``socket:[inode]``, …"""
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):  # closed meanwhile
            yield os.readlink(f"/proc/{pid}/fd/{name}")


def _spoken(cluster: Cluster) -> Iterator[dict[str, Any]]:
    for line in cluster.log.splitlines():
        if line.startswith("{"):
            try:
                yield json.loads(line)
            except ValueError:
                continue
