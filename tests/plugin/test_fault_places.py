"""Faults of messages, of the network and of the machine, without a cluster: what each does to what passes."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_cluster import FaultError
from pytest_cluster.faults import memory_groups
from pytest_cluster.faults.network_plan import REPEATED_AFTER_SECONDS, Conditions, Course
from pytest_cluster.faults.tcp_proxy import TCPProxy
from pytest_cluster.inside import delivery_faults
from pytest_cluster.inside.delivery_faults import DeliveryFaults
from pytest_cluster.inside.disk import DiskPlace
from pytest_cluster.inside.steps import Steps
from pytest_cluster.waiting import poll
from pytest_cluster.wire.records import (
    Action,
    Delay,
    Disk,
    Do,
    Drop,
    Failpoint,
    Function,
    Hold,
    Reached,
    Reorder,
)


class Worker:
    """What passes a worker whose clock stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0
        self.told: list[Reached] = []
        self.passed: list[int] = []
        self.lost: list[int] = []
        self.steps = Steps(self.told.append)
        self._timers: list[tuple[float, Callable[[], None]]] = []
        self._faults = DeliveryFaults(self.steps, self._call_later)

    def _call_later(self, seconds: float, call: Callable[[], None]) -> None:
        self._timers.append((self.now + seconds, call))

    def arm(self, action: Action, number: int = 1) -> None:
        self.steps.arm(Failpoint(number, "receive", action))

    def receive(self, *messages: int, with_handle: bool = False) -> None:
        for one in messages:
            lose = None if with_handle else lambda one=one: self.lost.append(one)
            self._faults("receive", lambda one=one: self.passed.append(one), lose)

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while due := [one for one in self._timers if one[0] <= until]:
            first = min(due, key=lambda one: one[0])
            self._timers.remove(first)
            self.now = max(self.now, first[0])
            first[1]()
        self.now = until


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    made = Worker()
    monkeypatch.setattr(delivery_faults, "monotonic", lambda: made.now)
    return made


def test_nothing_is_armed(worker: Worker) -> None:
    worker.receive(1, 2)
    assert worker.passed == [1, 2]


def test_delayed_messages_stay_in_order(worker: Worker) -> None:
    """One that is late holds up the next, also when nothing delays that any more."""
    worker.arm(Delay(1.0, jitter=1.0, seed=1))
    worker.receive(1, 2, 3)
    worker.steps.disarm(1)
    worker.receive(4)
    worker.wait(0.9)
    assert worker.passed == []
    worker.wait(1.2)
    assert worker.passed == [1, 2, 3, 4]


def test_first_messages_are_lost(worker: Worker) -> None:
    worker.arm(Drop(times=2))
    worker.receive(1, with_handle=True)
    worker.receive(2, 3, 4)
    assert (worker.passed, worker.lost) == ([1, 4], [2, 3])


def test_a_share_is_lost_and_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost() -> list[int]:
        worker = Worker()
        worker.arm(Drop(share=0.5, seed=7))
        worker.receive(*range(100))
        return worker.lost

    assert lost() == lost()
    assert 30 < len(lost()) < 70


def test_held_messages_are_told_and_let_go(worker: Worker) -> None:
    worker.arm(Hold())
    worker.receive(1, 2)
    assert worker.passed == []
    assert [one.where for one in worker.told] == ["receive", "receive"]
    worker.steps.release(1, (worker.told[0].arrival,))
    assert worker.passed == [1]
    worker.steps.disarm(1)
    assert worker.passed == [1, 2]


def test_messages_overtake_each_other(worker: Worker) -> None:
    """All of a window, in another order; what is less goes on after a time, or when it is over."""
    worker.arm(Reorder(window=3, seconds=1.0, seed=3))
    worker.receive(1, 2, 3, 4)
    assert worker.passed != [1, 2, 3]
    assert sorted(worker.passed) == [1, 2, 3]
    worker.wait(1.0)
    assert worker.passed[3:] == [4]
    worker.receive(5)
    worker.steps.disarm(1)
    assert worker.passed[4:] == [5]


def test_function_that_raises_where_a_message_comes(worker: Worker, capfd: pytest.CaptureFixture[str]) -> None:
    """The message goes on: nobody there could catch it."""
    worker.arm(Do(Function("operator", "truediv", None), pickle.dumps((1, 0)), times=1))
    worker.receive(1)
    assert worker.passed == [1]
    assert "ZeroDivisionError" in capfd.readouterr().err


# The network


def test_course_of_a_connection_follows_from_the_seed() -> None:
    lossy = Conditions(delay=0.1, loss=0.3, seed=5)

    def late(number: int) -> list[float]:
        course = Course(lossy.seed, number, "out")
        return [course.lateness(1000, lossy) for _ in range(20)]

    assert late(1) == late(1) != late(2)
    assert {round(one - 0.1, 6) for one in late(1)} <= {
        round(REPEATED_AFTER_SECONDS * (2**times - 1), 6) for times in range(7)
    }


def test_all_segments_of_a_large_piece_have_to_come() -> None:
    lossy = Conditions(loss=0.5, seed=1)
    assert Course(1, 1, "out").lateness(1_000_000, lossy) > Course(1, 1, "out").lateness(1, Conditions())


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """A server that answers each connection with ten bytes, once it has said something."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):  # reset, and not by us
                if connection.recv(100):
                    connection.sendall(b"0123456789")

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def ask(proxy: TCPProxy, timeout: float = 10.0) -> bytes:
    with socket.create_connection(proxy.address, timeout) as connection:
        connection.sendall(b"x")
        answer = b""
        while part := connection.recv(100):
            answer += part
        return answer


def test_proxy_of_every_kind(echo: tuple[str, int]) -> None:
    proxy = TCPProxy(echo, Conditions())
    try:
        assert ask(proxy) == b"0123456789"
        proxy.conditions = Conditions(delay=0.01, jitter=0.01, loss=0.01)
        assert ask(proxy) == b"0123456789"
        proxy.conditions = Conditions(refuse=1.0)
        with pytest.raises(ConnectionError):
            ask(proxy)
        proxy.conditions = Conditions(cut_after=4)
        with pytest.raises(ConnectionError):
            ask(proxy)
        proxy.conditions = Conditions(silent=True)
        with pytest.raises(TimeoutError):
            ask(proxy, timeout=0.1)
        with socket.create_connection(proxy.address, 10) as connection:
            connection.sendall(b"x")
            assert poll(lambda: proxy.connections == 6, 10)  # it has been taken
            proxy.cut()
            with pytest.raises(ConnectionError):
                connection.recv(1)
        assert proxy.connections == 6
    finally:
        proxy.close()


def test_proxy_before_nobody() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and does not listen
        proxy = TCPProxy(bound.getsockname(), Conditions())
        with pytest.raises(ConnectionError):
            ask(proxy)
        proxy.close()


# The disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Steps]:
    steps = Steps(lambda _: None)
    (tmp_path / "own").mkdir()
    steps.place("disk", DiskPlace(str(tmp_path / "own")))
    yield steps
    steps.disarm_all()


def test_full_disk(disk: Steps, tmp_path: Path) -> None:
    """What is written there fails, when it comes to the disk; what is there can be read; elsewhere all is well."""
    (folder := tmp_path / "full").mkdir()
    (folder / "old").write_text("there")
    opened, kept = open, os.write
    disk.arm(Failpoint(1, "disk", Disk(f"{folder}/", full=True)))

    with pytest.raises(OSError, match=r"No space left on device \(injected by the test\)") as failed:
        (folder / "new").write_text("x" * 100)
    assert failed.value.errno == errno.ENOSPC
    with pytest.raises(OSError, match="No space"), open(folder / "bytes", "wb", 0) as file:
        file.write(b"x")
    with pytest.raises(OSError, match="No space"):
        os.mkdir(folder / "sub")
    with pytest.raises(OSError, match="No space"), open(folder / "old", "a") as file:
        file.write("more")
    assert (folder / "old").read_text() == "there"
    with open(folder / "old", newline="") as file:
        assert list(file) == ["there"]
    (tmp_path / "own" / "log").write_text("fine")
    (tmp_path / "elsewhere").write_text("fine")
    with pytest.raises(ValueError, match="invalid mode"):
        open(folder / "old", "q")  # noqa: SIM115, PLW1501 - which is refused

    disk.disarm(1)
    assert (open, os.write) == (opened, kept)
    (folder / "new").write_text("x")


def test_slow_disk_is_waited_for(disk: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("pytest_cluster.inside.disk.sleep", slept.append)
    disk.arm(Failpoint(1, "disk", Disk(f"{tmp_path}/", seconds=0.5)))
    (tmp_path / "file").write_text("x")
    assert slept == [0.5, 0.5]  # opened, and written
    slept.clear()
    os.listdir(tmp_path)
    os.path.exists("/proc/self/stat")
    assert slept == [0.5]


# Memory


@pytest.mark.parametrize(
    ("memberships", "folder", "limits"),
    [
        ("0::/user\n", "user", {"memory.max": "1000"}),
        ("3:cpu:/\n2:memory:/user\n0::/\n", "memory/user", {"memory.limit_in_bytes": "1000"}),
    ],
)
def test_group_of_either_version(tmp_path: Path, memberships: str, folder: str, limits: dict[str, str]) -> None:
    """It is below our own, gets the limit, and then the process; at the end that is moved back."""
    (parent := tmp_path / folder).mkdir(parents=True)
    (tmp_path / "self").write_text(memberships)

    group = memory_groups.memory_group(1000, mount=str(tmp_path), memberships=str(tmp_path / "self"))
    group.take(4711)

    made = Path(group.path)
    assert made.parent == parent
    assert {name: (made / name).read_text() for name in limits} == limits
    assert (made / "cgroup.procs").read_text() == "4711"
    group.release()
    assert (parent / "cgroup.procs").read_text() == "4711"


def test_group_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "self").write_text("0::/user\n")
    (tmp_path / "mount").write_text("")
    with pytest.raises(FaultError, match=r"memory_group: no control group can be made here \(.*use memory_limit"):
        memory_groups.memory_group(1000, mount=str(tmp_path / "mount"), memberships=str(tmp_path / "self"))
    (tmp_path / "self").write_text("3:cpu:/\n")
    with pytest.raises(FaultError, match="in no control group of memory; use memory_limit"):
        memory_groups.memory_group(1000, mount=str(tmp_path), memberships=str(tmp_path / "self"))
