"""The test's end of the connections, with processes that are sockets of this one."""

from __future__ import annotations

import pickle
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_cluster.errors import ProcessGone
from pytest_cluster.wire.control import Control
from pytest_cluster.wire.records import Call, Failpoint, Hello, Hold, Outcome, Reply, Unpacker, Welcome, pack


class Process:
    """A process of a cluster, as far as its connection shows."""

    def __init__(self, control: Control, pid: int, *, worker: int | None = None, token: str | None = None) -> None:
        self._hello = Hello(control.token if token is None else token, worker, pid, measured=False)
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock.settimeout(10)
        self._sock.connect(control.path)
        self._unpacker = Unpacker()
        self._records: list[Any] = []

    def greet(self) -> None:
        self.send(self._hello)

    def send(self, record: Any) -> None:
        self._sock.sendall(pack(record))

    def receive(self) -> Any:
        while not self._records:
            data = self._sock.recv(65536)
            if not data:
                return None
            self._records += self._unpacker.feed(data)
        return self._records.pop(0)

    def close(self) -> None:
        self._sock.close()


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    made = Control(str(tmp_path / "c"), lambda hello, reached: None)
    yield made
    made.close()


def test_welcome_comes_before_any_call(control: Control) -> None:
    """Whoever waits for a process may call it the moment that it is known, and the welcome is still the first word."""
    for pid in range(1, 50):
        process = Process(control, pid)
        answers: list[Outcome] = []

        def call(pid: int = pid, answers: list[Outcome] = answers) -> None:
            answers.append(control.call(pid, "status", timeout=10))

        caller = threading.Thread(target=call)
        caller.start()
        process.greet()
        first, second = process.receive(), process.receive()
        assert (type(first), type(second)) == (Welcome, Call)
        process.send(Reply(second.id, Outcome(value=pickle.dumps("well"))))
        caller.join(10)
        assert [pickle.loads(one.value or b"") for one in answers] == ["well"]
        process.close()


def test_worker_is_told_the_failpoints_of_all_and_its_own(control: Control) -> None:
    for number, worker in ((1, None), (2, 1), (3, 2), (4, None)):
        control.add_failpoint(Failpoint(number, "request", Hold(), worker))
    control.remove_failpoint(4)
    told = {}
    for pid, worker in ((1, None), (2, 1), (3, 2)):
        process = Process(control, pid, worker=worker)
        process.greet()
        told[worker] = [one.id for one in process.receive().failpoints]
        process.close()
    assert told == {None: [], 1: [1, 2], 2: [1, 3]}


def test_process_that_dies_before_its_welcome_harms_nobody(control: Control) -> None:
    for pid in range(1, 20):
        dying = Process(control, pid)
        dying.greet()
        dying.close()
    living = Process(control, 100)
    living.greet()
    assert isinstance(living.receive(), Welcome)
    assert 100 in control.pids()
    living.close()


@pytest.mark.parametrize("word", ["wrong token", "no greeting"])
def test_stranger_is_dropped_without_a_word(control: Control, word: str) -> None:
    stranger = Process(control, 1, token="0" * 64)
    stranger.send(Reply(1, Outcome()) if word == "no greeting" else stranger._hello)
    assert stranger.receive() is None
    with pytest.raises(ProcessGone, match="the process 1 has ended, or is not under the test's control"):
        control.call(1, "status", timeout=0.01)
    stranger.close()
