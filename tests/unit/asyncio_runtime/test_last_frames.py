"""A connection of HTTP/2 is closed when its client has read what was sent, or has had time enough."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from nodecluster_compat.asyncio_runtime import last_frames
from nodecluster_compat.asyncio_runtime.last_frames import KeptTransport, wait_until_read

PATIENCE = 20.0


class Transport:
    """Gives what is written to whoever plays the client."""

    def __init__(self, hears: Callable[[bytes], None]) -> None:
        self.write = hears
        self.closed = 0

    def is_closing(self) -> bool:
        return self.closed > 0

    def close(self) -> None:
        self.closed += 1


def answer_to(ping: bytes) -> bytes:
    return ping[:4] + b"\x01" + ping[5:]


def wait_with(
    client: Callable[[asyncio.StreamReader, bytes], None], pings: list[bytes], looks: Iterator[int] | None = None
) -> bytes:
    """Wait as a server does; return what nobody has read of what the client says to the PING."""

    async def wait() -> bytes:
        reader = asyncio.StreamReader()

        def hears(ping: bytes) -> None:
            pings.append(ping)
            client(reader, ping)

        left = looks or iter(())
        await asyncio.wait_for(wait_until_read(reader, Transport(hears), lambda: None, lambda: next(left)), PATIENCE)
        reader.feed_eof()
        return await reader.read()

    return asyncio.run(wait())


def test_client_that_acknowledges_has_read_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """In pieces, behind other frames; it may go on talking."""
    monkeypatch.setattr(last_frames, "_PIECE_BYTES", 5)

    def client(reader: asyncio.StreamReader, ping: bytes) -> None:
        reader.feed_data(b"\0\0\x04\x08\0\0\0\0\x01\0\0\0\x09" + answer_to(ping) + b"more and more")

    pings: list[bytes] = []
    assert wait_with(client, pings).endswith(b"and more")
    (ping,) = pings
    assert (len(ping), ping[:9]) == (17, b"\0\0\x08\x06\0\0\0\0\0")


def test_client_that_ends_is_waited_for_no_longer() -> None:
    pings: list[bytes] = []
    assert wait_with(lambda reader, _: reader.feed_eof(), pings) == b""
    assert len(pings) == 1


def test_silent_client_is_waited_for_until_its_host_has_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_frames, "_LOOK_SECONDS", 0.01)
    looks = iter([9, 9, 0, 9])
    wait_with(lambda *_: None, [], looks)
    assert list(looks) == [9]


def test_silent_client_whose_host_is_silent_as_well_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_frames, "_LOOK_SECONDS", 0.01)
    looks = iter([9] * 10)
    wait_with(lambda *_: None, [], looks)
    assert len(list(looks)) == 10 - last_frames._SILENT_LOOKS


def test_silent_client_has_more_time_while_its_host_takes_something(monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads slowly, and may say something when it has read more: closed before, it would be reset."""
    monkeypatch.setattr(last_frames, "_LOOK_SECONDS", 0.01)
    looks = iter([*range(30, 10, -1), *[11] * 10])
    wait_with(lambda *_: None, [], looks)
    assert len(list(looks)) == 10 - last_frames._SILENT_LOOKS


def test_client_that_talks_and_acknowledges_nothing_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_frames, "_SECONDS", 0.05)
    monkeypatch.setattr(last_frames, "_LOOK_SECONDS", PATIENCE)  # a busy machine makes nobody silent

    def client(reader: asyncio.StreamReader, _: bytes) -> None:
        reader.feed_data(b"another ping's answer")
        asyncio.get_running_loop().call_later(0.01, client, reader, b"")

    pings: list[bytes] = []
    wait_with(client, pings)
    assert len(pings) == 1


def test_connection_that_has_ended_is_told_nothing() -> None:
    async def wait() -> list[bytes]:
        told: list[bytes] = []
        ended, closed = asyncio.StreamReader(), Transport(told.append)
        ended.feed_eof()
        await wait_until_read(ended, closed, lambda: None, lambda: 0)
        closed.close()
        await wait_until_read(asyncio.StreamReader(), closed, lambda: None, lambda: 0)
        return told

    assert asyncio.run(wait()) == []


def test_kept_transport_is_closed_only_by_who_keeps_it() -> None:
    real = Transport(lambda _: None)
    kept = KeptTransport(real)
    assert not kept.is_closing()
    kept.close()
    assert (kept.is_closing(), real.closed) == (True, 0)
    other = KeptTransport(real)
    real.close()
    assert other.is_closing()
