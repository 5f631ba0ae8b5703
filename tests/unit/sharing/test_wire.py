"""What is encoded comes out again, and what is broken raises FrameError."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nodecluster_compat.errors import FrameError, MessageNotSerializable, MessageTooLarge
from nodecluster_compat.messages.frames import FrameDecoder, FrameKind
from nodecluster_compat.sharing import wire


def payload_of(frame: bytes, kind: FrameKind) -> bytes:
    [one] = FrameDecoder().feed(frame)
    assert one.kind is kind
    return bytes(one.payload)


def test_there_and_back() -> None:
    """Topics of several bytes, numbers, bytes as they are."""
    body = wire.encode({"raw": b"\0\xff", "n": [1, None, 2.5]})
    assert wire.decode(body) == {"raw": b"\0\xff", "n": [1, None, 2.5]}
    assert wire.decode_publish(payload_of(wire.encode_publish("größe", body), FrameKind.PUBLISH)) == ("größe", body)
    assert wire.decode_call(payload_of(wire.encode_call(2**40, "ask", body), FrameKind.CALL)) == (2**40, "ask", body)
    for done in (True, False):
        frame = wire.encode_return(7, done, body)
        assert wire.decode_return(payload_of(frame, FrameKind.RETURN)) == (7, done, body)


@pytest.mark.parametrize(
    ("decode", "payload"),
    [
        (wire.decode_publish, b""),
        (wire.decode_publish, b"\0"),
        (wire.decode_publish, b"\0\0rest"),
        (wire.decode_publish, b"\0\x09short"),
        (wire.decode_publish, b"\0\x01\xff"),
        (wire.decode_call, b"\0" * 8),
        (wire.decode_call, b"\0" * 8 + b"\x05ask"),
        (wire.decode_call, b"\0" * 8 + b"\0"),
        (wire.decode_return, b"\0" * 8),
        (wire.decode_return, b"\0" * 8 + b"\x02"),
        (wire.decode, b"\xc1"),
        (wire.decode, b""),
        (wire.decode, b"\x01\x01"),
    ],
)
def test_broken_payloads(decode: Callable[[bytes], Any], payload: bytes) -> None:
    """Cut off, or never whole."""
    with pytest.raises(FrameError):
        decode(payload)


def test_what_cannot_be_sent() -> None:
    """Says what it expected and what came; nothing that refers to itself hangs."""
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(MessageNotSerializable, match="refers to itself"):
        wire.encode(circle)
    with pytest.raises(MessageNotSerializable, match="got object"):
        wire.encode(object())
    with pytest.raises(MessageTooLarge, match="at most 1048576 bytes once encoded, got 1048582"):
        wire.encode("x" * 1024 * 1024 + "y")
