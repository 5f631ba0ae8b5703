"""Connections through TLS end without their client's goodbye, and lose nothing."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import uvloop
from raw_http import Certificate, make_certificate

from nodecluster_compat.asyncio_runtime.goodbye import wait_for_no_goodbye

SIZES: Final = [10, 40_000, 4 << 20]
PATIENCE: Final = 20.0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(Path(tmp_path_factory.mktemp("tls")))


class Answering(asyncio.Protocol):
    """Answers whatever comes, and closes."""

    def __init__(self, size: int) -> None:
        self.answer = bytes(size)
        self.loop = asyncio.get_running_loop()
        self.ended = self.loop.create_future()
        self.transport: Any
        self.fd = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.fd = transport.get_extra_info("socket").fileno()

    def data_received(self, _: bytes) -> None:
        self.transport.write(self.answer)
        self.transport.close()
        wait_for_no_goodbye(self, self.loop.call_later)

    def connection_lost(self, exc: Exception | None) -> None:
        self.fd = -1
        self.ended.set_result(exc)


def received(client: ssl.SSLSocket) -> int:
    """Ask; read until the end, and count."""
    client.sendall(b"?")
    total = 0
    while data := client.recv(65536):
        total += len(data)
    return total


async def connected(certificate: Certificate, protocol: Answering) -> ssl.SSLSocket:
    """Return a client."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate.cert, certificate.key)
    near, far = socket.socketpair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # so that asyncio has to keep the rest
    far.settimeout(PATIENCE)
    asking = ssl.create_default_context(cafile=certificate.cert)
    loop = protocol.loop
    shaken = loop.run_in_executor(None, lambda: asking.wrap_socket(far, server_hostname="127.0.0.1"))
    await loop.connect_accepted_socket(lambda: protocol, near, ssl=serving)
    return await shaken


async def answered(certificate: Certificate, size: int) -> tuple[int, Exception | None]:
    """Return what a client got who never says goodbye, and how its connection ended meanwhile."""
    protocol = Answering(size)
    with await connected(certificate, protocol) as client:
        got = await protocol.loop.run_in_executor(None, received, client)
        return got, await asyncio.wait_for(protocol.ended, PATIENCE)


async def next_one(certificate: Certificate) -> bytes:
    """Return what can be read of a connection that has the number of one whose end is not told yet."""
    protocol, read = Answering(0), asyncio.get_running_loop().create_future()

    def look() -> None:
        near, far = sorted(socket.socketpair(), key=lambda one: one.fileno() != protocol.fd)
        with near, far:
            assert near.fileno() == protocol.fd
            wait_for_no_goodbye(protocol, protocol.loop.call_later)
            far.sendall(b"asks")
            read.set_result(near.recv(10))

    with await connected(certificate, protocol):
        protocol.transport.abort()
        protocol.loop.call_soon(look)
        heard: bytes = await asyncio.wait_for(read, PATIENCE)
        await asyncio.wait_for(protocol.ended, PATIENCE)
        return heard


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_silent_client_gets_everything_and_the_connection_ends(
    certificate: Certificate, new_loop: Callable[[], asyncio.AbstractEventLoop], size: int
) -> None:
    """Also what the kernel has not taken when the connection is closed, be it so much that writing stops or not."""
    loop = new_loop()
    try:
        assert loop.run_until_complete(answered(certificate, size)) == (size, None)
    finally:
        loop.close()


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_connection_whose_end_is_not_told_yet_takes_no_other_one_along(
    certificate: Certificate, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """Through TLS that is told a turn later, and its number may be another client's by then."""
    loop = new_loop()
    try:
        assert loop.run_until_complete(next_one(certificate)) == b"asks"
    finally:
        loop.close()
