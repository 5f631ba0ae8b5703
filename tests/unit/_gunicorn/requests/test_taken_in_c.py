"""A connection that is taken in C is served as in Python, whatever happens to it, and leaves nothing behind."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any, Final

import pytest
from gunicorn.config import Config
from gunicorn.http import message
from hypothesis import given, settings
from hypothesis import strategies as st
from in_process import quiet_gunicorn
from own_descriptors import forget_others, own_descriptors
from taken_twice import DEEDS, PATHS, Taken, taken

from nodecluster_compat._gunicorn.requests.clean_connection import CleanConnection
from nodecluster_compat._gunicorn.requests.metering import Metering
from nodecluster_compat._gunicorn.worker.fed_source import FedSource
from nodecluster_compat.base.native import PYTHON, Choice, in_force
from nodecluster_compat.connections.taking_end import TakingEnd
from nodecluster_compat.gevent_runtime import greenlet_pool
from nodecluster_compat.gevent_runtime.client_socket import ClientSocket
from nodecluster_compat.gevent_runtime.greenlet_pool import GreenletPool
from nodecluster_compat.operations.metrics.request_meter import RequestMeter

needs_native = pytest.mark.skipif(in_force().module is None, reason=str(in_force()))
pytestmark = pytest.mark.skipif(
    not getattr(message, "_check_fast_parser", lambda _: False)(Config()),
    reason="this gunicorn has no C parser, or gunicorn_h1c is not installed",
)


GET: Final = b"GET /pieces HTTP/1.1\r\nHost: x\r\n\r\n"
IN_C: Final = {
    FedSource: ("_take", "_serve", "_has_room"),
    CleanConnection: ("__init__", "_find_base", "_receive"),
    Metering: ("open", "close"),
    TakingEnd: ("read", "received"),
    ClientSocket: ("__init__", "close", "_make_sock"),
    GreenletPool: ("_run", "_reusable"),
}


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    with quiet_gunicorn():
        yield


def told(*deeds: tuple[object, int]) -> bytes:
    """Return the input that says so."""
    return bytes(number * len(DEEDS) + DEEDS.index(deed) for deed, number in deeds)  # type: ignore[arg-type]


@needs_native
@settings(max_examples=25)
@given(st.binary(max_size=8))
def test_c_serves_what_python_serves(data: bytes) -> None:
    assert taken(data, in_force()) == taken(data, PYTHON)


@pytest.mark.parametrize("choice", [pytest.param(in_force(), id="in force"), pytest.param(PYTHON, id="python")])
def test_worker_that_is_gone_is_forgotten(choice: Choice) -> None:
    """What serves in C and the greenlets that it serves in know each other."""
    gc.collect()
    before = sources()
    one = Taken(choice)
    one.connect(0)
    one.turn()
    one.close()
    assert sources() == before + 1
    del one
    gc.collect()
    assert sources() == before


@pytest.mark.parametrize("choice", [pytest.param(in_force(), id="in force"), pytest.param(PYTHON, id="python")])
@pytest.mark.parametrize("host", ["127.0.0.1", "127.10.200.255"])
def test_connection_is_listed_by_the_address_of_its_client(
    choice: Choice, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Taken(choice)
    listed: list[str] = []
    meter = one.worker.metering.meter

    def listing(meter: RequestMeter, client: str, ident: int) -> int:
        listed.append(client)
        return real(meter, client, ident)

    real = type(meter).open
    monkeypatch.setattr(type(meter), "open", listing)
    one.host = host
    one.connect(0)
    one.turn()
    assert listed == ["{}:{}".format(*one.clients[0].getsockname())]
    one.close()


def sources() -> int:
    """How many there are: a weak reference dies even where the collector cannot free what it is to."""
    return sum(type(one) is FedSource for one in gc.get_objects())


@needs_native
@pytest.mark.parametrize("path", range(len(PATHS)), ids=[path.decode() for path in PATHS])
@pytest.mark.parametrize("first", [Taken.connect, Taken.hand])
def test_same_answers(first: object, path: int) -> None:
    """On a connection that ends with its answer, on one that goes on, and of a client that leaves amid it."""
    warm = [(Taken.connect, 0), (Taken.connect, 11)]
    data = told(*warm, (first, path), (Taken.ask, 2), (Taken.leave, 2), (first, path), (Taken.kill, 0))
    ours, python = taken(data, in_force()), taken(data, PYTHON)
    assert ours == python


@pytest.mark.parametrize("choice", [pytest.param(in_force(), id="in force"), pytest.param(PYTHON, id="python")])
@pytest.mark.parametrize("number", [0, len(PATHS)], ids=["read", "unread"])
def test_connection_of_another_worker_is_answered(choice: Choice, number: int) -> None:
    """Otherwise the comparisons above would be of nothing."""
    [_, (heard, *_)] = taken(told((Taken.hand, number)), choice)
    assert [answer[:15] for _, answer in heard] == [b"HTTP/1.1 200 OK"]


@pytest.mark.parametrize("choice", [pytest.param(in_force(), id="in force"), pytest.param(PYTHON, id="python")])
@pytest.mark.parametrize("deed", DEEDS)
def test_no_descriptor_is_left(choice: Choice, deed: object) -> None:
    """Whatever was done, once or again."""
    forget_others()
    data = told((Taken.connect, 0), (deed, 0), (deed, 1), (Taken.connect_silently, 0), (deed, 2), (Taken.ask, 0))
    taken(data, choice)
    before = own_descriptors()
    taken(data, choice)
    assert not own_descriptors().items() - before.items()


def serve_two(one: Taken) -> None:
    """One that ends with its answer, and one that asks later, and leaves."""
    path = PATHS.index(b"/pieces")
    one.connect(len(PATHS) + path)
    one.turn()
    one.connect_silently(0)
    one.turn()
    last = len(one.clients) - 1
    one._send(last, GET)
    one.turn()
    one.leave(last)
    one.turn()


@needs_native
def test_ordinary_connections_are_python_only_in_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the channel to the close: also of a client that asks later."""

    def refuse(*_: object) -> None:
        raise AssertionError("it is done in C")

    one = Taken(in_force())
    try:
        for _ in range(2):  # what is new is Python's
            serve_two(one)
        for kind, names in IN_C.items():
            for name in names:
                monkeypatch.setattr(kind, name, refuse)
        serve_two(one)
        monkeypatch.undo()
        assert [bytes(heard[:15]) for heard in one.heard] == [b"HTTP/1.1 200 OK"] * 6
    finally:
        one.close()


@needs_native
def test_wrong_arguments_are_refused() -> None:
    native = in_force().module
    assert native is not None
    taking: dict[str, Any] = {"end": 1, "sock": 1, "on_offer": print, "packet": 256, "offer": 1}
    one = Taken(in_force())
    try:
        feeding = one.source._feeding_in_c()
        for make, arguments, error in (
            (native.Taking, {**taking, "packet": 4096}, ValueError),
            (native.Taking, {**taking, "offer": 256}, ValueError),
            (native.Taking, {}, TypeError),
            (native.Feeding, {}, TypeError),
            (native.Greenlets, {}, TypeError),
        ):
            with pytest.raises(error):
                make(**arguments)
        for call in (lambda: feeding.take(1), lambda: feeding.serve(1), lambda: setattr(feeding, "greenlets", 1)):
            with pytest.raises(TypeError):
                call()
    finally:
        one.close()


@pytest.mark.parametrize("choice", [in_force(), PYTHON], ids=["native", "python"])
def test_connection_that_cannot_begin_is_closed(choice: Choice, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where there is no memory for a greenlet: its client hears the end, and the worker takes no more."""
    monkeypatch.setattr(greenlet_pool, "spawn_raw", _no_memory)
    Taken(choice).close()
    forget_others()
    before = own_descriptors()
    one = Taken(choice)
    one.connect(0)
    with pytest.raises(MemoryError):
        one.source._feed.receiver._end._read()
    one.turn()
    assert (one.over, one.told) == ({0}, ["gone"])
    one.close()
    assert not own_descriptors().items() - before.items()


def _no_memory(*_: object) -> None:
    raise MemoryError
