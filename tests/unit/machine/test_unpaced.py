"""Clients of this host are not paced; everybody else is, as the system has it."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nodecluster_compat.base.records import ListenRequest
from nodecluster_compat.machine import binding, unpaced
from nodecluster_compat.machine.unpaced import control_of, send_unpaced


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as made:
        try:
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            made.bind((address, 0))
        except OSError as error:
            pytest.skip(f"this host has no {address}: {error}")
        made.listen()
        yield made


def choose(sock: socket.socket, control: bytes) -> None:
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control)
    except OSError:
        pytest.skip(f"this process may not choose {control!r}")


@pytest.mark.parametrize(
    ("address", "control", "then"),
    [
        ("127.0.0.1", b"bbr", b"reno"),
        ("127.0.0.2", b"bbr", b"reno"),
        ("::1", b"bbr", b"reno"),
        ("::ffff:127.0.0.1", b"bbr", b"reno"),
        ("127.0.0.1", b"cubic", b"cubic"),
        ("0.0.0.0", b"bbr", b"bbr"),
        ("::", b"bbr", b"bbr"),
    ],
)
def test_who_is_not_paced(address: str, control: bytes, then: bytes) -> None:
    """Nor are the connections."""
    with listening(address) as sock:
        choose(sock, control)
        send_unpaced(sock)
        assert control_of(sock) == then
        with socket.create_connection(sock.getsockname()[:2]):
            accepted, _ = sock.accept()
            with accepted:
                assert control_of(accepted) == then


@pytest.mark.parametrize(
    ("address", "is_unpaced"), [("127.0.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("0.0.0.0", False)]
)
def test_systems_own_choice_is_changed_there_alone(
    monkeypatch: pytest.MonkeyPatch, address: str, is_unpaced: bool
) -> None:
    """Whatever it is here: it stands for BBR."""
    with listening(address) as sock:
        own = control_of(sock)
        monkeypatch.setattr(unpaced, "_PACED", own)
        send_unpaced(sock)
        assert control_of(sock) == (b"reno" if is_unpaced else own)


def test_system_that_refuses_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening("127.0.0.1") as sock:
        own = control_of(sock)
        monkeypatch.setattr(unpaced, "_PACED", own)
        monkeypatch.setattr(unpaced, "_UNPACED", b"unknown")
        with pytest.raises(OSError) as refusal:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"unknown")
        assert refusal.value.errno in {errno.ENOENT, errno.EPERM}
        send_unpaced(sock)
        assert control_of(sock) == own


def test_server_of_a_script_is_not_paced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is that of a script that asks for an address of its own."""
    told: list[object] = []
    monkeypatch.setattr(binding, "send_unpaced", told.append)
    bound = binding.bind(ListenRequest(address="127.0.0.1", port=0, address_type=4))
    bound.close()
    assert told == [bound.sock]


@pytest.mark.parametrize("kind", ["given", "udp", "path"])
def test_other_sockets_of_scripts_stay_as_they_are(monkeypatch: pytest.MonkeyPatch, kind: str, tmp_path: Path) -> None:
    told: list[object] = []
    monkeypatch.setattr(binding, "send_unpaced", told.append)
    with socket.create_server(("127.0.0.1", 0)) as given:
        request = {
            "given": ListenRequest(address=None, port=-1, address_type=4, fd=given.fileno()),
            "udp": ListenRequest(address="127.0.0.1", port=0, address_type="udp4"),
            "path": ListenRequest(address=str(tmp_path / "s"), port=-1, address_type=-1),
        }[kind]
        binding.bind(request).close()
    assert told == []


def test_what_is_none_of_tcp_is_left_alone() -> None:
    one, other = socket.socketpair()
    with one, other:
        send_unpaced(one)
        one.sendall(b"x")
        assert other.recv(1) == b"x"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        send_unpaced(sock)
