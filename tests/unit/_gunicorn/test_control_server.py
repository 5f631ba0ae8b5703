"""The control socket in a loop that the test turns, with a stand-in for the arbiter."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nodecluster_compat._gunicorn.arbiter import control_client, control_server
from nodecluster_compat._gunicorn.arbiter.control_server import ControlServer
from nodecluster_compat.base.loop import Loop

pytest.importorskip("gunicorn.ctl.server", reason="gunicorn has a control socket from 25.1 on")


class Served:
    """A server on a path, and clients."""

    def __init__(self, folder: Path) -> None:
        log = logging.getLogger("test")
        self.path = str(folder / "new" / "ctl")
        self.loop = Loop(log)
        self.arbiter: Any = SimpleNamespace(
            loop=self.loop, log=log, pid=1, num_workers=2, WORKERS={}, LISTENERS=[], dirty_arbiter_pid=0, _stats={}
        )
        self.server = ControlServer(self.arbiter, self.path, 0o660)
        self.server.start()
        self.clients: list[socket.socket] = []

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.connect(self.path)
        client.setblocking(False)
        self.clients.append(client)
        self.turn()
        return client

    def turn(self, times: int = 5) -> None:
        for _ in range(times):
            self.loop.run_once(0)

    def ask(self, client: socket.socket, command: object, number: int = 1) -> Any:
        client.sendall(asked(command, number))
        return self.answers(client, 1)[0]

    def answers(self, client: socket.socket, count: int) -> list[Any]:
        data = b""
        answers: list[Any] = []
        while len(answers) < count:
            self.loop.run_once(0.01)
            try:
                data += client.recv(65536)
            except BlockingIOError:
                continue
            while len(data) >= 4 and len(data) >= (end := 4 + struct.unpack_from(">I", data)[0]):
                answers.append(json.loads(data[4:end]))
                data = data[end:]
        return answers

    def is_cut(self, client: socket.socket) -> bool:
        self.turn()
        try:
            return client.recv(65536) == b""
        except BlockingIOError:
            return False


def framed(payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + payload


def asked(command: object, number: int = 1) -> bytes:
    return framed(json.dumps({"id": number, "command": command, "args": []}).encode())


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path)
    yield served
    served.server.stop()
    for client in served.clients:
        client.close()
    served.loop.close()


def test_socket_has_the_mode_whatever_the_umask(tmp_path: Path) -> None:
    former = os.umask(0o077)
    served = Served(tmp_path)
    os.umask(former)
    assert stat.S_IMODE(os.stat(served.path).st_mode) == 0o660
    assert stat.S_IMODE(os.stat(os.path.dirname(served.path)).st_mode) == 0o700
    served.server.stop()
    assert not os.path.exists(served.path)
    served.loop.close()


def test_commands_are_gunicorns(served: Served) -> None:
    client = served.connect()
    assert served.ask(client, "show workers", 7) == {"id": 7, "status": "ok", "data": {"workers": [], "count": 0}}
    assert served.ask(client, "show stats")["data"]["workers_target"] == 2
    assert "show workers" in served.ask(client, "help")["data"]["commands"]


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("", "Empty command"),
        ("bogus", "Invalid argument: Unknown command: bogus"),
        ("worker kill", "Invalid argument: Missing PID for worker kill"),
        ('show "', "Invalid argument: No closing quotation"),
    ],
)
def test_what_is_no_command_is_refused_in_gunicorns_words(served: Served, command: str, error: str) -> None:
    client = served.connect()
    assert served.ask(client, command) == {"id": 1, "status": "error", "error": error}
    assert served.ask(client, "help")["status"] == "ok"


def test_commands_that_come_together_are_answered_in_order(served: Served) -> None:
    client = served.connect()
    client.sendall(b"".join(asked("help", number) for number in range(20)))
    assert [answer["id"] for answer in served.answers(client, 20)] == list(range(20))


def test_command_may_come_in_pieces(served: Served) -> None:
    client = served.connect()
    for byte in asked("show listeners")[:-1]:
        client.send(bytes([byte]))
        served.turn(1)
    client.send(asked("show listeners")[-1:])
    assert served.answers(client, 1)[0]["status"] == "ok"


@pytest.mark.parametrize(
    "garbage",
    [b"\xff\xff\xff\xffx", framed(b"no json"), framed(b"[]"), framed(b"\xff"), framed(b'{"command": 3}')],
    ids=["huge", "no-json", "no-object", "no-text", "no-command"],
)
def test_garbage_ends_its_client_and_nobody_else(served: Served, garbage: bytes) -> None:
    good, bad = served.connect(), served.connect()
    bad.send(garbage)
    assert served.is_cut(bad)
    assert served.ask(good, "help")["status"] == "ok"


def test_client_that_reads_no_answers_is_not_read(served: Served) -> None:
    """It costs one command and one answer."""
    client = served.connect()
    request = asked("help")
    for _ in range(200):
        with contextlib.suppress(BlockingIOError):
            client.send(request * 100)
        served.turn(20)
    [one] = served.server._clients
    assert len(one._received) <= 4096 + len(request)
    assert len(one._to_send) <= 4096
    assert not served.is_cut(client)


def test_silent_client_is_sent_away_in_the_end(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = served.connect()
    monkeypatch.setattr(control_client, "IDLE_SECONDS", -1.0)
    assert not served.is_cut(silent)
    [one] = served.server._clients
    one._close_if_idle()
    assert served.is_cut(silent)


def test_clients_are_bounded(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_server, "_MOST_CLIENTS", 2)
    kept = [served.connect(), served.connect()]
    assert served.is_cut(served.connect())
    kept.pop().close()
    served.turn()
    assert served.ask(served.connect(), "help")["status"] == "ok"


def test_path_of_another_server_is_not_removed_and_is_taken_back(served: Served) -> None:
    """A new master of an upgrade listens on the same path; when it has gone, this one does again."""
    other = Served(Path(served.path).parents[1])
    assert other.ask(other.connect(), "help")["status"] == "ok"
    served.server.take_back()
    assert served.ask(served.connect(), "help")["status"] == "ok"
    other.server.stop()
    assert served.ask(served.connect(), "help")["status"] == "ok"
    other.loop.close()
    for client in other.clients:
        client.close()


def test_child_lets_go_of_everything_and_clients_stay_the_parents(served: Served) -> None:
    """A fork cuts nobody: no thread is joined, no socket closed."""
    client = served.connect()
    pid = os.fork()
    if not pid:
        served.server.abandon()
        os._exit(any("socket" in os.readlink(f"/proc/self/fd/{fd}") for fd in _fds(served)))
    assert os.waitpid(pid, 0)[1] == 0
    assert served.ask(client, "help")["status"] == "ok"


def _fds(served: Served) -> list[int]:
    """Return what of the server's is open in this process."""
    listening = served.server._sock
    socks = [*(one._sock for one in served.server._clients), *([] if listening is None else [listening])]
    return [sock.fileno() for sock in socks if sock.fileno() >= 0]


def test_what_asks_the_dirty_arbiter_holds_up_nobody(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may take seconds: it is asked in the background."""
    import threading

    from gunicorn.ctl.handlers import CommandHandlers

    asked_for, goes_on = threading.Event(), threading.Event()

    def slow(self: object, count: int = 1) -> dict[str, int]:
        asked_for.set()
        assert goes_on.wait(30)
        return {"added": count}

    monkeypatch.setattr(CommandHandlers, "dirty_add", slow)
    served.arbiter.dirty_arbiter_pid = 1
    one, two = served.connect(), served.connect()
    one.sendall(asked("dirty add 3"))
    served.turn()
    assert asked_for.wait(30)
    assert served.ask(two, "help")["status"] == "ok"
    goes_on.set()
    assert served.answers(one, 1)[0]["data"] == {"added": 3}
    assert served.server._commands._background.finish(30)
    served.server._commands.abandon()


def test_failure_of_a_handler_is_told(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    del served.arbiter.num_workers
    answer = served.ask(served.connect(), "show stats")
    assert answer["status"] == "error"
    assert answer["error"].startswith("Command failed: ")
