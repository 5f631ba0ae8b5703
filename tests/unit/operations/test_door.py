"""The control socket in a loop that the test turns."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nodecluster_compat.base.loop import Loop
from nodecluster_compat.machine.socket_path import SocketPath
from nodecluster_compat.operations import door as door_module
from nodecluster_compat.operations.control_frames import Frame, encode_answer
from nodecluster_compat.operations.door import BACKLOG, Door
from nodecluster_compat.operations.routes import Routes, json_answer


class Served:
    """A door on a path, and clients."""

    def __init__(self, folder: Path) -> None:
        log = logging.getLogger("test")
        self.path = str(folder / "ctl")
        self.loop = Loop(log)
        self.held: list[Callable[[bytes], None]] = []
        routes = Routes()
        routes.on("/livez", lambda _: json_answer({"live": True}))
        self.door = Door(self.loop, log, self.carry_out, routes)
        self.door.listen(SocketPath(self.path, 0o600).take(BACKLOG, lambda _: False))
        self.clients: list[socket.socket] = []
        self.asked = 0

    def carry_out(self, frame: Frame, answer: Callable[[bytes], None]) -> None:
        self.asked += 1
        if frame.command == "hold":
            self.held.append(answer)
        else:
            answer(encode_answer(frame.id, {"said": frame.command}))

    def connect(self) -> socket.socket:
        """Connect, and see to it that the door has the client."""
        client = socket.socket(socket.AF_UNIX)
        client.connect(self.path)
        client.setblocking(False)
        self.clients.append(client)
        before = self.all
        self.turn_until(lambda: self.all != before)
        return client

    @property
    def all(self) -> set[Any]:
        return set(self.door._clients)

    def turn_until(self, done: Callable[[], object]) -> None:
        while not done():
            self.loop.run_once(0.01)

    def ask(self, client: socket.socket, command: str, number: int = 1) -> Any:
        client.sendall(asked(command, number))
        return self.answers(client, 1)[0]

    def answers(self, client: socket.socket, count: int) -> list[Any]:
        data = b""
        answers: list[Any] = []
        while len(answers) < count:
            data += self.read(client)
            while len(data) >= 4 and len(data) >= (end := 4 + struct.unpack_from(">I", data)[0]):
                answers.append(json.loads(data[4:end]))
                data = data[end:]
        return answers

    def read(self, client: socket.socket) -> bytes:
        """Turn until something comes; nothing at the end."""
        while True:
            self.loop.run_once(0.01)
            with contextlib.suppress(BlockingIOError):
                return client.recv(65536)

    def read_all(self, client: socket.socket) -> bytes:
        data = b""
        while part := self.read(client):
            data += part
        return data


def framed(payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + payload


def asked(command: str, number: int = 1) -> bytes:
    return framed(json.dumps({"id": number, "command": command, "args": []}).encode())


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path)
    yield served
    served.door.close()
    for client in served.clients:
        client.close()
    served.loop.close()


def test_commands_that_come_together_are_answered_in_order(served: Served) -> None:
    client = served.connect()
    client.sendall(b"".join(asked("help", number) for number in range(20)))
    assert [answer["id"] for answer in served.answers(client, 20)] == list(range(20))


def test_command_may_come_in_pieces(served: Served) -> None:
    client = served.connect()
    for byte in asked("show listeners"):
        client.send(bytes([byte]))
        served.loop.run_once(0)
    assert served.answers(client, 1)[0]["data"] == {"said": "show listeners"}


def test_garbage_is_answered_and_ends_its_client_and_nobody_else(served: Served) -> None:
    good, bad = served.connect(), served.connect()
    bad.send(struct.pack(">I", 100 << 20) + b"x" * 1000)
    answer = json.loads(served.read_all(bad)[4:])
    assert answer["status"] == "error"
    assert "104857600" in answer["error"]
    assert served.ask(good, "help")["status"] == "ok"


def test_client_whose_answer_fails_is_sent_away(served: Served) -> None:
    """It does not wait for ever, and holds up nobody."""
    good, bad = served.connect(), served.connect()

    def fail(frame: Frame, answer: Callable[[bytes], None]) -> None:
        raise ArithmeticError(frame.command)

    served.door._commands = fail
    bad.sendall(asked("help"))
    assert served.read(bad) == b""
    served.door._commands = served.carry_out
    assert served.ask(good, "help")["status"] == "ok"


def test_get_is_answered_and_the_connection_closed(served: Served) -> None:
    client = served.connect()
    client.send(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert served.read_all(client).endswith(b'\r\n\r\n{"live":true}\n')


def test_client_that_reads_no_answers_is_not_read(served: Served) -> None:
    """It costs one command and one answer."""
    client = served.connect()
    [one] = served.all
    request = asked("help" * 1000)
    for _ in range(200):
        with contextlib.suppress(BlockingIOError):
            client.send(request * 100)
        served.loop.run_once(0)
    served.turn_until(lambda: len(one._to_send))
    assert len(one._received) <= 16 * 1024 + len(request)
    assert len(one._to_send) <= 2 * len(request)
    before = served.asked
    for _ in range(20):
        served.loop.run_once(0)
    assert served.asked == before


def test_newcomer_takes_the_place_of_the_most_silent_one(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that hang keep nobody out; one that waits for an answer is not the one that goes."""
    monkeypatch.setattr(door_module, "MOST_CLIENTS", 3)
    waiting, talking, mute = served.connect(), served.connect(), served.connect()
    waiting.sendall(asked("hold"))
    served.turn_until(lambda: served.held)
    assert served.ask(talking, "help")["status"] == "ok"
    newcomer = served.connect()
    assert served.ask(newcomer, "help")["status"] == "ok"
    assert served.read(mute) == b""
    served.held.pop()(encode_answer(1, {}))
    assert served.answers(waiting, 1)[0]["status"] == "ok"
    assert served.ask(talking, "help")["status"] == "ok"


def test_clients_have_a_tenth_of_the_time(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever they ask for: between two requests the loop has nine times what the first one took."""
    pauses: list[float] = []
    later = served.loop.call_later
    monkeypatch.setattr(
        served.loop, "call_later", lambda seconds, *rest: (pauses.append(seconds), later(seconds, *rest))[1]
    )
    monkeypatch.setattr(served, "carry_out", None)
    served.door._commands = lambda frame, answer: (time.sleep(0.01), answer(encode_answer(1, {})))[1]
    client = served.connect()
    pauses.clear()
    client.sendall(asked("a") + asked("b"))
    served.answers(client, 2)
    assert min(pauses) >= 0.09


@pytest.mark.parametrize(
    ("sent", "limit"), [(b"", "IDLE_SECONDS"), (b"\0", "HALF_SECONDS"), (b"GET / HTTP", "HALF_SECONDS")]
)
def test_silent_client_is_sent_away_in_the_end(
    served: Served, monkeypatch: pytest.MonkeyPatch, sent: bytes, limit: str
) -> None:
    import nodecluster_compat.operations.door_client as client_module

    client = served.connect()
    [one] = served.all
    assert client.send(sent) == len(sent)
    served.turn_until(lambda: len(one._received) == len(sent))
    left = one.deadline - time.monotonic()
    assert 0 < left <= getattr(client_module, limit)
    served.door._sweep()
    assert served.all == {one}
    one.deadline = 0.0
    served.door._sweep()
    assert served.read(client) == b""


def test_child_lets_go_of_everything_and_clients_stay_the_parents(served: Served) -> None:
    """A fork cuts nobody: no thread is joined, no socket closed."""
    client = served.connect()
    [one] = served.all
    pid = os.fork()
    if not pid:
        served.door.abandon()
        os._exit(sum(sock is not None and sock.fileno() >= 0 for sock in (one._sock, served.door._sock)))
    assert os.waitpid(pid, 0)[1] == 0
    assert served.ask(client, "help")["status"] == "ok"


def test_client_stays_when_the_path_goes_to_another(served: Served) -> None:
    client = served.connect()
    other = SocketPath(served.path, 0o600)
    with contextlib.closing(other.take(5, lambda _: True)):
        served.door.stop_listening()
        assert other.is_ours
        assert served.ask(client, "help")["status"] == "ok"
