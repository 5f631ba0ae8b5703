"""The collector finds rings that what is compiled is part of, and what it has taken apart goes on, or refuses."""

from __future__ import annotations

import ctypes
import gc
import logging
import socket
import sys
from collections.abc import Callable
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import pytest
from engine_rig import EngineRig

from nodecluster_compat.base.native import Native, in_force
from nodecluster_compat.messages.channel import Channel

pytestmark = pytest.mark.skipif(in_force().module is None, reason=str(in_force()))

_TP_CLEAR = 51  # Py_tp_clear


def native() -> Native:
    module = in_force().module
    assert module is not None
    return module


def clear(one: object) -> None:
    """Take an object apart as the collector does."""
    find = ctypes.pythonapi.PyType_GetSlot
    find.restype, find.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_int]
    clears = find(type(one), _TP_CLEAR)
    assert clears
    ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object)(clears)(one)


def nothing(*_: object) -> None: ...


SET_ONCE: dict[str, Callable[[list[Any]], object]] = {
    "Taking": lambda ring: native().Taking(ring, None, ring, 64, 1),
    "Guarded": lambda ring: native().Guarded("it", None, ring, ContextVar("running"), nothing, nothing),
    "Greenlets": lambda ring: native().Greenlets(ring, ring, [], *[None] * 6, ring, 1),
    "DealingTurns": lambda ring: native().DealingTurns(ring, None, None, {}, []),
    "ErrorsStream": lambda ring: native().ErrorsStream(nothing, ring),
    "RequestIds": lambda ring: native().RequestIds(
        ring, "a", "b", "c", "d", ContextVar("id"), [], nothing, nothing, bytes(32)
    ),
}


def references(one: object) -> int:
    """Count the references to an object, once the collector has run."""
    gc.collect()
    return sys.getrefcount(one)


def is_held(one: object) -> bool:
    """Whether anybody but the caller has an object."""
    nobodys = object()
    return references(one) > held_by_calls(nobodys)


def held_by_calls(one: object) -> int:
    """Count for an object that only the caller has; how many a call itself has depends on the Python."""
    return references(one)


@pytest.mark.parametrize("name", SET_ONCE)
def test_ring_that_is_closed_elsewhere_is_found(name: str) -> None:
    """By what closes it."""
    ring: list[Any] = []
    held = object()
    ring += [SET_ONCE[name](ring), held]
    assert is_held(held)
    del ring
    assert not is_held(held)


def test_stream_that_leads_to_itself_is_found() -> None:
    """It has its log."""
    log = SimpleNamespace(handlers=[])
    found: list[Any] = []
    stream = native().ErrorsStream(lambda _: found.pop(), log)
    found.append(stream.get)
    stream.get(None)
    del stream
    assert not is_held(log)


def parts_of_dealings(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what those of an engine are made of."""
    parts: dict[str, Any] = {}
    make = native().Dealings

    def note(**given: Any) -> Any:
        parts.update(given)
        return make(**given)

    with monkeypatch.context() as patch:
        patch.setattr(native(), "Dealings", note)
        EngineRig(False, in_force()).close()
    return parts


def test_turns_whose_standby_leads_to_them_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """They have their loop."""
    parts, loop = parts_of_dealings(monkeypatch), object()
    turns = native().DealingTurns(loop, None, None, {}, [])
    parts["engine"] = turns.turn
    turns.stand_by(native().Standby(native().Dealings(**parts)))
    del parts, turns
    assert not is_held(loop)


def test_sender_that_leads_to_itself_is_found() -> None:
    ours, far = socket.socketpair()
    channel, held = Channel(ours, nothing, nothing, choice=in_force()), object()
    post = channel.post_in_c(native(), 100)
    post.encode = (held, post)
    del post
    assert not is_held(held)
    channel.close()
    far.close()


def test_sender_that_was_taken_apart_leaves_all_to_python() -> None:
    ours, far = socket.socketpair()
    channel = Channel(ours, nothing, nothing, choice=in_force())
    post = channel.post_in_c(native(), 100)
    post.encode = bytes
    clear(post)
    assert post(b"payload") is None
    channel.close()
    far.close()


def test_stream_that_was_taken_apart_begins_again() -> None:
    made = ["first", "second"]
    stream = native().ErrorsStream(lambda _: made.pop(0), logging.getLogger("rings"))
    assert stream.get(None) == "first"
    clear(stream)
    assert stream.get(None) == "second"


def test_standby_that_was_taken_apart_deals_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = parts_of_dealings(monkeypatch)
    standby = native().Standby(native().Dealings(**parts | {"listeners": {}}))
    clear(standby)
    standby.take_snapshot()
    standby.reconcile()
    assert standby.deal() == 0


@pytest.mark.parametrize("kind", ["CleanTurn", "PlainAnswer", "PlainRequest"])
def test_object_that_was_taken_apart_refuses(kind: str) -> None:
    one = getattr(native(), kind)()
    clear(one)
    for name, arguments in (("next_unserved", []), ("write", [b""]), ("start_response", ["", []]), ("line", None)):
        if hasattr(type(one), name):
            with pytest.raises(AttributeError):
                getattr(one, name)(*arguments or ())
