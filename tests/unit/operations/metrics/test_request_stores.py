"""The compiled twin of the meter's stores writes what the Python one writes, byte for byte, whatever it is told."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
from drawing import drawn
from hypothesis import given, settings
from hypothesis import strategies as st
from manual_clock import ManualClock

from nodecluster_compat.base.native import PYTHON, Choice, Native, in_force
from nodecluster_compat.operations.metrics.layout import BOUNDS, ROWS, SLOTS, VALUES_AT
from nodecluster_compat.operations.metrics.request_meter import NO_SLOT, RequestMeter

needs_native = pytest.mark.skipif(in_force().module is None, reason=str(in_force()))

CHOICES = [pytest.param(PYTHON, id="python"), pytest.param(in_force(), id="native", marks=needs_native)]


def native() -> Native:
    module = in_force().module
    assert module is not None
    return module


def stores(memory: bytearray, **changes: Any) -> Any:
    """Stores of one row and two slots, in a small memory."""
    layout: dict[str, Any] = {
        "rows_at": 64,
        "row_bytes": 48,
        "row_count": 1,
        "since_at": 8,
        "lines_at": 128,
        "slot_bytes": 64,
        "line_bytes": 32,
        "slot_count": 2,
        "unlisted_at": 0,
        "bounds": (0.5, 1.0),
    }
    found: Callable[..., int] = changes.pop("find_row", lambda *_: 0)
    return native().RequestStores(memory, changes.pop("clock", None), {}, found, **layout | changes)


class Text(str):
    """A status with code of its own."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other)

    __hash__ = str.__hash__


SLOTS_GIVEN = st.sampled_from([NO_SLOT, 0, 1, 2, 3])
METHODS = st.sampled_from(["GET", "POST", "BREW", "", "_OTHER", Text("GET")])
STATUSES = st.one_of(
    st.sampled_from([None, "200 OK", 200, "404 Not Found", [], Text("200 OK"), 10**30, True, 1.5, b"200 OK", ""]),
    st.integers(100, 599),
    st.text(max_size=5),
)
SECONDS = st.one_of(st.sampled_from([0.0, *BOUNDS, 60.0]), st.floats(0, 100))
LINES = st.one_of(st.binary(max_size=300), st.just(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
STEPS = st.one_of(
    st.tuples(st.just("begin"), SLOTS_GIVEN, LINES),
    st.tuples(st.just("end"), SLOTS_GIVEN, SECONDS, METHODS, STATUSES, st.integers(0, 2**40)),
    st.tuples(st.just("open"), st.sampled_from(["127.0.0.1:1", ""]), st.integers(0, 2**64)),
    st.tuples(st.just("abandon")),
)


def play(steps: list[Any], choice: Choice) -> tuple[list[Any], bytes, bytes]:
    """What the steps return, and the memory: of the worker, and of a process that it forked."""
    clock, memory = ManualClock(), bytearray(VALUES_AT)
    meter = RequestMeter(memoryview(memory), clock, choice)
    said: list[Any] = []
    for name, *given_ in steps:
        if name == "end":
            slot, seconds, *rest = given_
            started = meter.begin(slot, b"GET / HTTP/1.0")
            clock.now += seconds
            said.append(meter.end(slot, started, *rest))
        else:
            said.append(getattr(meter, name)(*given_))
    said.append((meter.in_flight(), [meter.told(slot) for slot in range(4)], meter.in_flight_by_ident()))
    return said, bytes(memory), bytes(meter._view[:VALUES_AT])


@needs_native
@settings(max_examples=drawn(150), deadline=None)
@given(st.lists(STEPS, max_size=30))
def test_same_memory_whatever_happens(steps: list[Any]) -> None:
    """Known and unknown methods, statuses of every type, lines of every length, slots that are none."""
    assert play(steps, in_force()) == play(steps, PYTHON)


@needs_native
def test_same_rows_when_they_run_out() -> None:
    steps = [("end", NO_SLOT, 0.01, "GET", status, 1) for status in [*range(100, 600), *range(100, 600)]]
    assert play(steps, in_force()) == play(steps, PYTHON)


@pytest.mark.parametrize("choice", CHOICES)
def test_clock_is_the_machines(choice: Choice) -> None:
    """Without one it is that of the primary, which compares."""
    meter = RequestMeter(choice=choice)
    before = monotonic()
    assert before <= meter.begin(NO_SLOT, b"") <= monotonic()


@pytest.mark.parametrize("choice", CHOICES)
def test_meter_is_collected(choice: Choice) -> None:
    """Its stores refer to it, and it to them."""
    held: Any = ManualClock()  # can be referred to weakly, as the meter cannot
    meter = RequestMeter(memoryview(bytearray(VALUES_AT)), choice=choice)  # a view that nobody else has, either
    meter._lock = held
    gone = weakref.ref(held)
    del held, meter
    gc.collect()
    assert gone() is None


@needs_native
def test_references_are_given_back() -> None:
    """After every way through both functions."""
    method, status, line, memory = "GET", "200 Fine", b"GET / HTTP/1.1", bytearray(256)
    row = 0
    made = stores(memory, find_row=lambda *_: row, clock=lambda: 5.0)
    watched = [method, status, line, memory]
    before = [sys.getrefcount(one) for one in watched]
    for _ in range(1000):
        made.end(1, made.begin(1, line), method, status, 1)
        with pytest.raises(IndexError):
            made.begin(2, line)
    assert [sys.getrefcount(one) for one in watched] == before
    made = None
    memory.clear()  # raises while somebody writes there


@needs_native
@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("begin", (0,), TypeError),
        ("begin", (0, "text"), TypeError),
        ("begin", ("0", b""), TypeError),
        ("begin", (2, b""), IndexError),
        ("begin", (10**30, b""), OverflowError),
        ("end", (0, 1.0, "GET", 200), TypeError),
        ("end", (0, None, "GET", 200, 1), TypeError),
        ("end", (0, 1.0, "GET", 200, -1), OverflowError),
        ("end", (0, 1.0, "GET", 200, None), TypeError),
        ("end", (2, 1.0, "GET", 200, 1), IndexError),
    ],
)
def test_wrong_arguments_change_nothing(name: str, arguments: tuple[Any, ...], error: type[Exception]) -> None:
    memory = bytearray(256)
    with pytest.raises(error):
        getattr(stores(memory), name)(*arguments)
    assert memory == bytes(256)


@needs_native
@pytest.mark.parametrize(
    ("found", "error"), [(1, IndexError), (-1, IndexError), (10**30, OverflowError), (None, TypeError)]
)
def test_row_that_there_is_not_is_not_written(found: Any, error: type[Exception]) -> None:
    memory = bytearray(256)
    with pytest.raises(error):
        stores(memory, find_row=lambda *_: found).end(0, 1.0, "GET", 200, 1)
    assert memory == bytes(256)


@needs_native
@pytest.mark.parametrize("failing", ["find_row", "clock"])
def test_what_is_called_may_raise(failing: str) -> None:
    def fail(*_: object) -> Any:
        raise LookupError(failing)

    memory = bytearray(256)
    with pytest.raises(LookupError, match=failing):
        stores(memory, **{failing: fail}).end(0, 1.0, "GET", 200, 1)
    assert memory == bytes(256)


@needs_native
@pytest.mark.parametrize(
    "changes",
    [
        {"rows_at": 256},
        {"rows_at": -8},
        {"rows_at": 65},
        {"row_count": 1000},
        {"row_bytes": 8},
        {"slot_count": 3},
        {"slot_count": 2**62},
        {"slot_count": 0},
        {"line_bytes": 0},
        {"line_bytes": 65},
        {"unlisted_at": 252},
        {"bounds": (1.0,) * 40},
        {"bounds": (1.0,) * 65},
        {"since_at": sys.maxsize},
    ],
)
def test_layout_that_does_not_fit_is_refused(changes: dict[str, Any]) -> None:
    """Checked once, so that no request can write beyond the memory."""
    with pytest.raises(ValueError, match="expected"):
        stores(bytearray(256), **changes)


@needs_native
@pytest.mark.parametrize(
    ("memory", "changes", "error"),
    [
        (bytes(256), {}, BufferError),
        (None, {}, TypeError),
        (bytearray(256), {"bounds": ("x",)}, TypeError),
        (bytearray(256), {"bounds": [1.0]}, TypeError),
        (bytearray(256), {"rows_at": None}, TypeError),
    ],
)
def test_arguments_of_another_kind_are_refused(memory: Any, changes: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        stores(memory, **changes)


def test_limits_of_the_layout() -> None:
    """What the twins share has room for what these tests ask of it."""
    assert ROWS > 5
    assert SLOTS > 4


@needs_native
@given(st.lists(st.tuples(st.text(max_size=60), st.integers(0, 2**70)) | st.integers(0, 5), max_size=30))
def test_same_slots(deeds: list[Any]) -> None:
    """Connections are opened, by any address, and closed again in any order."""
    told = []
    for choice in (PYTHON, in_force()):
        memory, slots = bytearray(VALUES_AT), []
        meter = RequestMeter(memoryview(memory), ManualClock(), choice)
        for deed in deeds:
            if isinstance(deed, tuple):
                slots.append(meter.open(*deed))
            elif slots:
                meter.close(slots.pop(deed % len(slots)))
        told.append((bytes(memory), slots, meter._free))
    assert told[0] == told[1]


@needs_native
def test_slots_are_refused_where_they_do_not_fit() -> None:
    layout = {"opened_at": 0, "closed_at": 8, "used_at": 16, "slots_at": 24, "slot_bytes": 32, "client_bytes": 24}
    made = native().RequestSlots(bytearray(24 + 32), [7, 0], slot_count=1, **layout)
    assert made.open("client", 1) == 0
    with pytest.raises(IndexError):
        made.open("client", 1)
    for wrong in ((), (1, 2), ("", "")):
        with pytest.raises(TypeError):
            made.open(*wrong)
    for change in ({"slot_count": 2}, {"slots_at": 25}, {"used_at": 56}, {"client_bytes": 25}, {"closed_at": 4}):
        with pytest.raises(ValueError, match="fits"):
            native().RequestSlots(bytearray(24 + 32), [], **{"slot_count": 1, **layout, **change})
