"""What stands in for gunicorn's sockets has what hooks ask of those."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from gunicorn.config import Config
from gunicorn.sock import TCP6Socket, TCPSocket, UnixSocket

from nodecluster_compat._gunicorn.requests.served_listener import ServedListener
from nodecluster_compat.base.records import ServedAddress


@pytest.mark.parametrize("is_encrypted", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("kind", [TCPSocket, TCP6Socket, UnixSocket])
def test_hooks_find_what_gunicorns_sockets_have(kind: type, tmp_path: Path, is_encrypted: bool) -> None:
    """Only the descriptor is the primary's alone, and what is read from it."""
    conf = Config()
    conf.set("certfile", os.devnull if is_encrypted else None)
    given = {TCPSocket: ("127.0.0.1", 0), TCP6Socket: ("::1", 0), UnixSocket: str(tmp_path / "s")}[kind]
    try:
        real = kind(given, conf, None)
    except OSError as error:
        pytest.skip(f"this host has no {given[0]}: {error}")
    try:
        ours = ServedListener(ServedAddress(1, real.FAMILY, real.getsockname()), conf)
        assert ours.sock.getsockname() == real.sock.getsockname()
        assert (ours.family, ours.FAMILY) == (real.family, real.FAMILY)
        assert ours.cfg_addr == (given if kind is UnixSocket else (given[0], real.getsockname()[1]))
        scheme = "https:" if is_encrypted else "http:"  # gunicorn says http of IPv6 in any case
        assert str(ours) == str(real).replace("http:", scheme)
    finally:
        real.close()
    assert (ours.fileno(), ours.get_backlog()) == (-1, -1)


def test_an_abstract_address_is_text() -> None:
    """As it is configured; the kernel's answer is bytes."""
    ours = ServedListener(ServedAddress(1, 1, b"\0name"), Config())
    assert (ours.cfg_addr, str(ours)) == ("\0name", "unix:\0name")
