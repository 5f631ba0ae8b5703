"""What is fuzzed: for each target some seeds, and one function that takes any bytes and fails when a promise is broken.

Three drivers share them: hypothesis (``tests/unit/test_fuzz.py``), ``run.py`` and ``guided.py`` in this folder.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import logging
import traceback
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from nodecluster_compat.base.records import Address, ListenAnswer, ListenRequest
from nodecluster_compat.connections.packets import PacketKind, decode_packet, encode_packet
from nodecluster_compat.errors import FrameError, MessageNotSerializable
from nodecluster_compat.messages import advanced_nodes as nodes
from nodecluster_compat.messages.advanced import ADVANCED
from nodecluster_compat.messages.frames import HEADER, Frame, FrameDecoder, FrameKind, encode_frame
from nodecluster_compat.messages.payloads import (
    decode_address,
    decode_answer,
    decode_closed,
    decode_disconnect,
    decode_request,
    encode_address,
    encode_answer,
    encode_closed,
    encode_disconnect,
    encode_payload,
    encode_request,
)
from nodecluster_compat.messages.request_payloads import decode_asked, decode_reply, encode_asked, encode_reply
from nodecluster_compat.messages.serialization import JSON
from nodecluster_compat.routing import EngineIO, Query, StickyCookie
from nodecluster_compat.routing.proxy_header import proxied_address, proxy_header_bytes
from nodecluster_compat.routing.router import ANYONE, HERE, MORE, Router

__all__ = ["TARGETS", "Target"]

LIMIT: Final = 4096
"""The largest payload while fuzzing, so that lengths around the limit are common."""


@dataclass(frozen=True)
class Target:
    """One thing that reads bytes from somebody else.

    Attributes:
        check: raises ``AssertionError``, or anything else that is not allowed there, when a promise is broken.
        seeds: inputs that it understands.
        words: bytes that mean something to it.
        alone: does as ``check`` in C alone, and compares nothing; ``None`` where that would save little.
        read: how many bytes of an input that reads.
    """

    check: Callable[[bytes], None]
    seeds: Sequence[bytes]
    words: Sequence[bytes] = ()
    alone: Callable[[bytes], object] | None = None
    read: int | None = None


# --- frames --------------------------------------------------------------------------------------

_DECODERS: Final[dict[FrameKind, Callable[[bytes], Any]]] = {
    FrameKind.MESSAGE: JSON.decode,
    FrameKind.LISTENING: decode_address,
    FrameKind.QUERY: decode_request,
    FrameKind.ANSWER: decode_answer,
    FrameKind.SHARED: decode_answer,
    FrameKind.CLOSED: decode_closed,
    FrameKind.DISCONNECT: decode_disconnect,
    FrameKind.REQUEST: decode_asked,
    FrameKind.REPLY: decode_reply,
}


def _slices(data: bytes) -> Iterable[bytes]:
    """Cut the rest by sizes that the first bytes say: how a stream is cut is the sender's choice, too."""
    sizes, data = data[:4] or b"\0", data[4:]
    turn = 0
    while data:
        size = 1 + sizes[turn % len(sizes)]
        yield data[:size]
        data = data[size:]
        turn += 1


def buffered(decoder: FrameDecoder) -> int:
    """Bytes that the decoder keeps of a frame that is not complete."""
    return len(decoder._rest) + (0 if decoder._payload is None else HEADER.size + len(decoder._payload))


def check_codec(data: bytes) -> None:
    """FrameError and nothing else; what is kept, or handed on, is never more than what has arrived."""
    decoder, fed, handed = FrameDecoder(LIMIT), 0, 0
    with contextlib.suppress(FrameError):
        for piece in _slices(data):
            fed += len(piece)
            for frame in decoder.feed(piece):
                handed += 5 + len(frame.payload)
                assert len(frame.payload) <= LIMIT
                _decode(frame)
            assert buffered(decoder) + handed == fed
    assert buffered(decoder) + handed <= fed


def _decode(frame: Frame) -> None:
    decode = _DECODERS.get(frame.kind)
    if decode is not None:
        with contextlib.suppress(FrameError):
            decode(frame.payload)


def check_packets(data: bytes) -> None:
    """FrameError, or a packet that is encoded to the same bytes."""
    with contextlib.suppress(FrameError):
        assert encode_packet(*decode_packet(data)) == data


def check_looks(data: bytes) -> None:
    """A decision, whatever came; what has come in pieces is decided as what came at once; a look says no other."""
    whole = _ROUTER.decide(data, True)
    assert whole in (HERE, MORE, ANYONE, 11, 12)
    assert EngineIO.look(data) >= 0
    seen, decision = 0, MORE
    for size in range(1, len(data) + 1):
        decision = _ROUTER.decide(data[:size], True, seen)
        seen = size
        if decision != MORE:
            break
    else:
        assert decision == whole
    size = proxy_header_bytes(data)
    assert size is None or 0 <= size <= len(data)
    proxied_address(data)


_ROUTER: Final = Router(
    [EngineIO(), Query("up"), StickyCookie(secret="s")], 10, lambda: {1: 11, 2: 12}, logging.getLogger()
)

# --- messages ------------------------------------------------------------------------------------


def _check_reason(error: FrameError) -> None:
    """The sentence goes to a log: it must not quote what came."""
    assert len(str(error)) < 1000


def check_json(data: bytes) -> None:
    """FrameError, or a value that makes the round trip."""
    try:
        value = JSON.decode(data)
    except FrameError as error:
        _check_reason(error)
        return
    [frame] = FrameDecoder().feed(encode_frame(FrameKind.MESSAGE, encode_payload(value)))
    assert JSON.decode(frame.payload) == value


_LEAVES: Final = (
    str,
    bytes,
    bytearray,
    int,
    float,
    complex,
    type(None),
    dt.date,
    dt.time,
    dt.timedelta,
    decimal.Decimal,
)
_CONTAINERS: Final = (list, tuple, set, frozenset)


def check_advanced(data: bytes) -> None:
    """FrameError with a short reason, or data of a closed set of types, no more than its bytes can make."""
    try:
        value = ADVANCED.decode(data)
    except FrameError as error:
        _check_reason(error)
        return
    assert _count(value) <= 3 * len(data) + 3
    with contextlib.suppress(MessageNotSerializable):  # a cycle through a tuple can be decoded, deeper than encoded
        ADVANCED.decode(ADVANCED.encode(value))


def _count(root: Any) -> int:
    """How many objects and bytes a message has become."""
    seen: set[int] = set()
    waiting = [root]
    size = 0
    while waiting:
        value = waiting.pop()
        size += 1
        if type(value) in (str, bytes, bytearray):
            size += len(value)
        elif isinstance(value, (*_CONTAINERS, dict, BaseException)) and id(value) not in seen:
            seen.add(id(value))
            waiting += _members(value)
        assert isinstance(value, (*_LEAVES, *_CONTAINERS, dict, BaseException, uuid.UUID)), type(value)
    return size


def _members(value: Any) -> list[Any]:
    if isinstance(value, BaseException):
        "".join(traceback.format_exception_only(type(value), value))  # printing one must not end the process
        return [*value.args]
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    return [*value]


_SAMPLES: Final[list[Any]] = [
    None,
    [1, -1, 2**40, 2**80, -(2**80), 1.5, True, "text", "\xe9", "\ud800"],
    {"a": [b"bytes", bytearray(b"x")], (1, (2, 3)): frozenset({1, 2}), frozenset({frozenset()}): {4, 5, "six"}},
    [dt.datetime(2020, 1, 2, 3, 4, 5, 6, dt.timezone.utc), dt.date(1, 1, 1), dt.time(1, 2), dt.timedelta(1, 2, 3)],
    [decimal.Decimal("1.50"), decimal.Decimal("sNaN"), 1 + 2j, uuid.UUID(int=5)],
    [ValueError("x", [1]), UnicodeDecodeError("utf-8", b"x", 0, 1, "why"), OSError(2, "gone"), SyntaxError("bad")],
]
_MADE: Final = [
    nodes.Message((0,), [nodes.Tuple([(1,), (1,)]), nodes.Tuple([(2,)]), nodes.List([(0,)])]),
    nodes.Message((0,), [nodes.Set([(1,), (2,), 1, 2]), nodes.BigInt(b"\1" * 9), nodes.Tuple([1, 2])]),
    nodes.Message((0,), [nodes.Dict([1, (0,), (1,), (1,)]), nodes.Frozenset([1, (2,)]), nodes.Uuid(bytes(16))]),
    nodes.Message((0,), [nodes.Exception_("KeyError", ["a", (1,)], ["note"]), nodes.Datetime("2020-01-01T00:00", 1)]),
]
_FRAMES: Final = [
    encode_frame(FrameKind.MESSAGE, encode_payload({"a": [1, 2.5, None, "text", {"b": []}]})),
    encode_frame(FrameKind.HANDLE, b"s" + encode_payload([1])),
    encode_asked(1, {"stats": True}) + encode_reply(1, True, [1]) + encode_reply(2, False, "no"),
    encode_frame(FrameKind.ONLINE) + encode_frame(FrameKind.LEAVING) + encode_frame(FrameKind.DUE),
    encode_address(1, Address("127.0.0.1", 8000, 4)),
    encode_request(1, ListenRequest("::1", 0, 6)) + encode_request(2, ListenRequest(None, -1, None, fd=3)),
    encode_answer(ListenAnswer(1, 0, 1, 2, ("127.0.0.1", 1))),
    encode_closed(5) + encode_disconnect(2.5) + encode_disconnect(None),
    encode_frame(FrameKind.TAKEN) + encode_frame(FrameKind.NOT_TAKEN),
]

TARGETS: Final[dict[str, Target]] = {
    "codec": Target(
        check_codec,
        [b"\x00\x05\xff\x10" + frame for frame in _FRAMES] + [b"\xff" + b"".join(_FRAMES)],
        [bytes((0, 0, 0, size, kind)) for size in (0, 1, 2, 9) for kind in FrameKind]
        + [b"\x00\x00\x10\x00", b"\x00\x00\x10\x01", b"\xff\xff\xff\xff", b"[", b"{", b'"', b"1e999", b"-1"],
    ),
    "packets": Target(check_packets, [encode_packet(kind, 7) for kind in PacketKind], [b"\xff\xff\xff\xff", b"\0"]),
    "looks": Target(
        check_looks,
        [
            b"GET /?EIO=4&sid=wGf0hLQyoVuhV3R6AAAA.12 HTTP/1.1\r\nCookie: NODECLUSTER=11.0\r\nA: b\r\n\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 80\r\nGET /?up=1 HTTP/1.1\n\n",
            b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12) + b"GET / HTTP/1.1\r\n\r\n",
        ],
        [b"\r", b"\n", b"EIO=", b"&sid=", b"%2E", b".", b";", b'"', b"PROXY ", b"PRI * HTTP/2", b"\xff"],
    ),
    "json": Target(
        check_json,
        [b'{"a":[1,-2.5e3,null,true,"\\u00e9\\n",{"a":{}}],"a":2}', b'"\\ud83d\\ude00"', b"12345678901234567890123"],
        [b"[", b"]", b"{", b"}", b'"', b"\\u", b"\\ud800", b"1e999", b"-0", b"[[[[[[[[", b":", b",", b"9" * 400],
    ),
    "advanced": Target(
        check_advanced,
        [ADVANCED.encode(sample) for sample in _SAMPLES] + [nodes.pack(made) for made in _MADE],
        [bytes((0x92, tag)) for tag in range(1, 18)]
        + [
            b"\x91\x00",
            b"\x91\x01",
            b"\x90",
            b"\xc4\x00",
            b"\xdc\xff\xff",
            b"\xdd\xff\xff\xff\xff",
            b"\xdb\xff\xff\xff\xff",
        ]
        + [
            b"\xd9\x09KeyError",
            b"\xa4eval",
            b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\xd3\x80\0\0\0\0\0\0\0",
            b"\x80",
        ],
    ),
}
