"""What a service manager is told, by whom and when: a real socket that speaks its protocol."""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from deploy import CONF, write
from raw_http import APPS, GUNICORN, serving, until
from remote_control import wait, wait_said

from pytest_cluster import Cluster, ClusterFactory
from pytest_cluster.waiting import poll

WATCHED: Final = {"WATCHDOG_USEC": "400000"}
QUICK: Final = (
    CONF + "cluster.setup_primary(restart_delay=0.2, restart_max_delay=0.2, restart_stable=0.5, restart_intensity=1)\n"
)
CREDENTIALS: Final = struct.Struct("iII")


class Told(NamedTuple):
    """A datagram: from which process, and its lines."""

    pid: int
    lines: dict[str, str]


class FakeManager:
    """systemd's end of ``NOTIFY_SOCKET``; the kernel says who has sent what."""

    def __init__(self, address: str) -> None:
        self.variable = address
        self.told: list[Told] = []
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._sock.bind(address.replace("@", "\0"))
        self._sock.setblocking(False)

    def receive(self) -> list[Told]:
        """Everything so far."""
        while True:
            try:
                data, ancillary, _, _ = self._sock.recvmsg(4096, socket.CMSG_SPACE(CREDENTIALS.size))
            except BlockingIOError:
                return self.told
            pid = CREDENTIALS.unpack(ancillary[0][2])[0]
            self.told.append(Told(pid, dict(line.split("=", 1) for line in data.decode().split("\n"))))

    def wait_for(self, start: int = 0, pid: int | None = None, **lines: str) -> int:
        """Wait for a datagram, behind the first ``start``, with lines that begin so; return its number."""

        def found() -> int | None:
            for number, one in enumerate(self.receive()[start:], start + 1):
                fits = all(one.lines.get(name, "-").startswith(text) for name, text in lines.items())
                if fits and pid in (None, one.pid):
                    return number
            return None

        number = poll(found, 20)
        assert number, f"expected {lines} from {pid}, got {set(map(str, self.told))}"
        return number

    def close(self) -> None:
        self._sock.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FakeManager]:
    """One with a path, and one with an abstract name."""
    made = FakeManager(str(tmp_path / "notify") if request.param == "path" else f"@nodecluster-{os.getpid()}")
    yield made
    made.close()


@pytest.mark.table(quick=["path"])
def test_life_of_a_service(manager: FakeManager, tmp_path: Path) -> None:
    """Ready when it serves, reloading while it reloads, stopping; the primary alone speaks."""
    os.mkfifo(tmp_path / "gate")
    gate = os.open(tmp_path / "gate", os.O_RDWR)
    (tmp_path / "gunicorn.conf.py").write_text("bind = '127.0.0.1:0'\nworkers = 2\ngraceful_timeout = 8\n")
    (tmp_path / "at_import.py").write_text(
        "import os\n"
        "open(f'seen-{os.getpid()}', 'w').write(str(sorted({'NOTIFY_SOCKET', 'WATCHDOG_USEC'} & set(os.environ))))\n"
        "os.read(os.open('gate', os.O_RDONLY), 1)\n"
    )
    environ = {**os.environ, **WATCHED, "NOTIFY_SOCKET": manager.variable, "PYTHONPATH": str(APPS)}
    command = [GUNICORN, "-k", "nodecluster_compat.Worker", "deployed:app"]
    with serving(tmp_path, command, env=environ) as server:
        pid = server.process.pid
        manager.wait_for(STATUS="starting: 0 of 2 workers listen")
        manager.wait_for(WATCHDOG="1")
        manager.wait_for(EXTEND_TIMEOUT_USEC="90000000")
        assert not any("READY" in one.lines for one in manager.receive())
        until(lambda: len(list(tmp_path.glob("seen-*"))) == 2, "two imports")
        os.write(gate, b"x" * 16)  # one for each import from now on
        ready = manager.wait_for(READY="1", STATUS="running: ")
        manager.wait_for(STATUS="running: 2 of 2 workers listen")

        before = time.monotonic()
        server.process.send_signal(signal.SIGHUP)
        reloading = manager.wait_for(ready, RELOADING="1")
        assert int(manager.told[reloading - 1].lines["MONOTONIC_USEC"]) >= before * 1e6 - 1
        manager.wait_for(reloading - 1, STATUS="reloading: ")
        again = manager.wait_for(reloading, READY="1")
        manager.wait_for(again, WATCHDOG="1")

        (tmp_path / "gunicorn.conf.py").write_text("raise ValueError('broken on purpose')")
        server.process.send_signal(signal.SIGHUP)
        failed = manager.wait_for(again, RELOADING="1")
        manager.wait_for(failed, READY="1", STATUS="running: 2 of 2 workers listen; reload 2 failed: the configuration")
        server.process.send_signal(signal.SIGTERM)
        manager.wait_for(failed, STOPPING="1")
        server.process.wait(20)  # a second TERM may find Python without handlers
    os.close(gate)
    assert {one.pid for one in manager.receive()} == {pid}
    assert {path.read_text() for path in tmp_path.glob("seen-*")} == {"[]"}


@pytest.fixture
def one_manager(tmp_path: Path) -> Iterator[FakeManager]:
    """Where the kind of name does not matter."""
    made = FakeManager(str(tmp_path / "notify"))
    yield made
    made.close()


def served(factory: ClusterFactory, manager: FakeManager, **options: Any) -> Cluster:
    environ = {**WATCHED, "NOTIFY_SOCKET": manager.variable}
    return factory(app="deployed:app", config=QUICK, workers=2, env=environ, **options)


def test_watchdog_is_not_fed_while_nobody_serves(cluster_factory: ClusterFactory, one_manager: FakeManager) -> None:
    """In a crash loop without a worker; it is again when there is one."""
    cluster = served(cluster_factory, one_manager)
    write(cluster, at_import="raise ImportError('broken on purpose')")
    for worker in cluster.workers:
        os.kill(worker.pid, signal.SIGSEGV)
    hopeless = one_manager.wait_for(STATUS="degraded: 0 of 2 workers listen; the last fault: exited with code 3")
    seen = len(cluster.journal.entries)
    wait(lambda: sum(one.event == "exit" for one in cluster.journal.entries[seen:]) >= 2, "vain attempts", cluster)
    assert not any("WATCHDOG" in one.lines for one in one_manager.receive()[hopeless:])
    write(cluster, at_import="")
    one_manager.wait_for(hopeless, WATCHDOG="1")
    cluster.wait_listening(2)


@pytest.mark.slow
def test_upgrade_hands_the_service_over_and_back(cluster_factory: ClusterFactory, one_manager: FakeManager) -> None:
    """``MAINPID`` is said by whoever is the main process; the other one is silent."""
    cluster = served(cluster_factory, one_manager)
    old = cluster.primary.pid
    ready = one_manager.wait_for(pid=old, READY="1")
    cluster.primary.signal("SIGUSR2")
    (line,) = wait_said(cluster, told="upgrade_ready")
    new = line["what"]
    handed = one_manager.wait_for(ready, pid=old, MAINPID=str(new))
    speaks = one_manager.wait_for(ready, pid=new, WATCHDOG="1", STATUS="running: 2 of 2")
    os.kill(new, signal.SIGTERM)
    back = one_manager.wait_for(speaks, pid=new, MAINPID=str(old))
    assert old not in {one.pid for one in one_manager.told[handed : back - 1]}
    main = one_manager.wait_for(back, pid=old, MAINPID=str(old), READY="1")
    one_manager.wait_for(main, pid=old, WATCHDOG="1")
    assert not any("STOPPING" in one.lines for one in one_manager.receive())
    cluster.stop()
    one_manager.wait_for(main, pid=old, STOPPING="1")
