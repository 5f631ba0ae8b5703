"""Carry events to other workers as their clients will read them, so that whoever emits an event encodes it once.

An event that awaits an acknowledgement is encoded for each client, and one with bytes is python-socketio's to take
apart: those travel as ``wire`` has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from ..errors import FrameError
from .wire import Told

__all__ = ["ENCODED", "arguments_of", "is_encoded", "pack_event", "receivers", "unpack_event"]

ENCODED: Final = "encoded"
"""The key, in what python-socketio is told, of the text that clients read."""

_CARRIED: Final = frozenset({str, type(None)})
_MARK: Final = b"\x01"  # JSON does not begin with it, nor does a pickle


class _Event(Struct, array_like=True, frozen=True, gc=False):
    namespace: str
    room: Any
    skip_sid: Any
    host_id: str
    text: str


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Event).decode


def arguments_of(told: Told) -> list[Any]:
    """Return the arguments of an event as python-socketio gives them to clients."""
    data = told["data"]
    if len(data) != 1:
        return list(data)
    (only,) = data
    if isinstance(only, tuple):
        return list(only)
    return [] if only is None else [only]


def pack_event(told: Told, text: str) -> bytes | None:
    """Return an event as bytes; ``None`` where its rooms are not what can be carried so.

    Args:
        told: the message of python-socketio's manager.
        text: what clients read.
    """
    room, skipped = told["room"], told["skip_sid"]
    if not (_is_carried(room) and _is_carried(skipped)):
        return None
    return _MARK + _encode(_Event(told["namespace"], room, skipped, told["host_id"], text))


def _is_carried(address: object) -> bool:
    if type(address) in _CARRIED:
        return True
    return type(address) in (list, tuple) and all(type(one) in _CARRIED for one in address)  # type: ignore[attr-defined]


def is_encoded(body: bytes) -> bool:
    """Whether a body is an event as :func:`pack_event` makes them."""
    return body[:1] == _MARK


def unpack_event(body: bytes) -> Told:
    """Return the message of python-socketio's manager, without data, and with what clients read.

    Raises:
        FrameError: the body is something else.
    """
    try:
        event = _decode(memoryview(body)[1:])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FrameError(f"an event that another worker told cannot be decoded: {error}") from error
    return {
        "method": "emit",
        "namespace": event.namespace,
        "room": event.room,
        "skip_sid": event.skip_sid,
        "callback": None,
        "host_id": event.host_id,
        ENCODED: event.text,
    }


def receivers(manager: Any, told: Told) -> Iterator[str]:  # noqa: ANN401 - python-socketio has no types
    """Yield the Engine.IO ids of the clients of this worker that an event is for."""
    namespace, skipped = told["namespace"], told["skip_sid"]
    if namespace in manager.rooms:
        skips = skipped if isinstance(skipped, list) else [skipped]
        for sid, eio_sid in manager.get_participants(namespace, told["room"]):
            if sid not in skips:
                yield eio_sid
