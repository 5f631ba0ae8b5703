"""What Socket.IO's managers tell each other survives the way, as JSON or as pickle."""

from __future__ import annotations

import json
import pickle
from datetime import date

import pytest
from socketio.packet import Packet

from nodecluster_compat.errors import FrameError, MessageNotSerializable
from nodecluster_compat.socketio.wire import Wire, pack_arguments, unpack_arguments

TEXT = Wire(json)
ANYTHING = Wire(json, pickles=True)


def test_json_by_default() -> None:
    told = {"method": "emit", "data": [1, "ä"]}
    assert json.loads(TEXT.encode(told)) == told
    assert TEXT.decode(TEXT.encode(told)) == told
    with pytest.raises(MessageNotSerializable, match="date is not JSON"):
        TEXT.encode({"method": "emit", "data": date(2026, 1, 1)})


def test_pickle_where_packets_are_not_json() -> None:
    told = {"method": "emit", "data": [date(2026, 1, 1), b"\0"]}
    assert ANYTHING.decode(ANYTHING.encode(told)) == told


def test_a_pickle_is_not_opened_where_packets_are_json() -> None:
    with pytest.raises(FrameError, match="a pickle came"):
        TEXT.decode(pickle.dumps({"method": "emit"}))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"method": 1}', b"\xff", b"[" * 100_000])
def test_what_is_not_understood_is_refused(body: bytes) -> None:
    with pytest.raises(FrameError, match="another worker told"):
        TEXT.decode(body)


@pytest.mark.parametrize("arguments", [(), (1, "a"), (b"\0\xff", {"deep": [b"x"]}), ({"_placeholder": 1},)])
def test_acknowledgements_may_hold_bytes(arguments: tuple[object, ...]) -> None:
    packed = json.loads(json.dumps(pack_arguments(arguments, Packet)))
    assert unpack_arguments(packed, Packet) == list(arguments)
