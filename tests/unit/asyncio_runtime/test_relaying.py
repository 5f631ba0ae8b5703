"""What a loop relays between a client through TLS and the worker that it belongs to, when that ends first."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any, cast

import pytest
import uvloop

from nodecluster_compat.asyncio_runtime.relaying import Relay
from nodecluster_compat.routing.relays import Relays

ANSWER = b"HTTP/1.1 413 Content Too Large\r\n\r\n"


class Client:
    """The transport of a client."""

    def __init__(self) -> None:
        self.heard = b""
        self.is_read = asyncio.Event()

    def pause_reading(self) -> None:
        self.is_read.clear()

    def resume_reading(self) -> None:
        self.is_read.set()

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.heard += data


async def refused(*more: bytes) -> bytes:
    """Return what a client hears whose other worker has answered and closed, when these come in the same turn."""
    client, closed = Client(), asyncio.Event()
    relay = Relay(Relays(), b"POST / HTTP/1.1\r\n\r\n", closed.set)
    with socket.socket(fileno=os.dup(relay.fileno())) as worker:
        relay.begin(asyncio.get_running_loop(), cast("Any", client))
        await client.is_read.wait()
        worker.sendall(ANSWER)
    for data in more:
        relay.write(data)
    await asyncio.wait_for(closed.wait(), 20)
    return client.heard


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("more", [[], [b"more of the body"] * 10], ids=["nothing", "body"])
def test_answer_that_comes_before_the_body_has_ended_is_relayed(
    new_loop: Callable[[], asyncio.AbstractEventLoop], more: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """The other worker has closed, and more of the body comes, which nobody takes."""
    loop = new_loop()
    try:
        assert loop.run_until_complete(refused(*more)) == ANSWER
    finally:
        loop.close()
    assert caplog.records == []
