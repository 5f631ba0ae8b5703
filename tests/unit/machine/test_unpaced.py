"""Clients of this host are not paced; everybody else is, as the system has it."""

from __future__ import annotations

import socket

import pytest

from nodecluster_compat.base.records import ListenRequest
from nodecluster_compat.machine import binding, unpaced
from nodecluster_compat.machine.unpaced import control_of, send_unpaced


def listening(address: str, control: bytes) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        made = socket.create_server((address, 0), family=family)
    except OSError as error:
        pytest.skip(f"this host has no {address}: {error}")
    try:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control)
    except OSError:
        made.close()
        pytest.skip(f"this process may not choose {control!r}")
    return made


@pytest.mark.parametrize(
    ("address", "control", "then"),
    [
        ("127.0.0.1", b"bbr", b"reno"),
        ("127.0.0.2", b"bbr", b"reno"),
        ("::1", b"bbr", b"reno"),
        ("127.0.0.1", b"cubic", b"cubic"),
        ("0.0.0.0", b"bbr", b"bbr"),
        ("::", b"bbr", b"bbr"),
    ],
)
def test_who_is_not_paced(address: str, control: bytes, then: bytes) -> None:
    """Nor are the connections."""
    with listening(address, control) as sock:
        send_unpaced(sock)
        assert control_of(sock) == then
        with socket.create_connection(sock.getsockname()[:2]):
            accepted, _ = sock.accept()
            with accepted:
                assert control_of(accepted) == then


@pytest.mark.parametrize(("address", "is_unpaced"), [("127.0.0.1", True), ("0.0.0.0", False)])
def test_systems_own_choice_is_changed_there_alone(
    monkeypatch: pytest.MonkeyPatch, address: str, is_unpaced: bool
) -> None:
    """Whatever it is here: it stands for BBR."""
    with socket.create_server((address, 0)) as sock:
        own = control_of(sock)
        monkeypatch.setattr(unpaced, "_PACED", own)
        monkeypatch.setattr(unpaced, "_UNPACED", b"reno")
        send_unpaced(sock)
        assert control_of(sock) == (b"reno" if is_unpaced else own)


def test_server_of_a_script_is_not_paced(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.setattr(binding, "send_unpaced", told.append)
    bound = binding.bind(ListenRequest(address="127.0.0.1", port=0, address_type=4))
    bound.close()
    assert told == [bound.sock]


def test_what_is_none_of_tcp_is_left_alone() -> None:
    one, other = socket.socketpair()
    with one, other:
        send_unpaced(one)
        one.sendall(b"x")
        assert other.recv(1) == b"x"
