"""serialization="advanced": types and cycles survive, code does not pass, garbage is one exception."""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import math
import re
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from drawing import drawn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodecluster_compat.errors import FrameError, MessageNotSerializable, SettingsError
from nodecluster_compat.messages import advanced_decoder
from nodecluster_compat.messages import advanced_nodes as nodes
from nodecluster_compat.messages.advanced import ADVANCED
from nodecluster_compat.messages.advanced_decoder import Decoder
from nodecluster_compat.messages.serialization import JSON
from nodecluster_compat.roles.spawn_settings import serializer_named

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.text(st.characters(categories=["Cs", "Lu"]), max_size=10),
    st.binary(max_size=20),
    st.datetimes(timezones=st.sampled_from([None, dt.timezone.utc, dt.timezone(dt.timedelta(hours=2))])),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.decimals(allow_nan=False, places=3, min_value=-1000, max_value=1000),
    st.complex_numbers(allow_nan=False),
    st.uuids(),
)
hashable = st.recursive(
    scalars, lambda inner: st.one_of(st.tuples(inner, inner), st.frozensets(inner, max_size=2)), max_leaves=3
)
values = st.recursive(
    hashable,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(hashable, inner, max_size=3), st.sets(hashable, max_size=3)
    ),
    max_leaves=6,
)


def there_and_back(value: Any) -> Any:
    return ADVANCED.decode(ADVANCED.encode(value))


@settings(max_examples=drawn(100), suppress_health_check=list(HealthCheck))
@given(values)
def test_data_arrives_as_what_it_was(value: Any) -> None:
    """Equal, and of the same type."""
    arrived = there_and_back(value)
    assert arrived == value
    assert type(arrived) is type(value)


def test_cycles_and_shared_objects_keep_their_shape() -> None:
    """A list in a tuple in itself; one object twice."""
    inner: list[Any] = [1]
    outer = (inner, inner)
    inner.append(outer)
    arrived = there_and_back(outer)
    assert arrived[0] is arrived[1]
    assert arrived[0][1][0] is arrived[0]


@dataclass
class Point:
    """A class of the program's."""

    x: int
    y: list[int]


class Odd(KeyError):
    """An exception that takes other arguments than it keeps."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a}-{b}")


def test_objects_arrive_as_their_attributes() -> None:
    """Node drops prototypes, too."""
    assert there_and_back([Point(1, [2])]) == [{"x": 1, "y": [2]}]


def test_exceptions_arrive_as_the_nearest_builtin() -> None:
    """With arguments and notes."""
    error = UnicodeDecodeError("utf-8", b"x", 0, 1, "why")
    arrived = there_and_back([error, Odd(1, 2), OSError(2, "gone"), ValueError(["data"])])
    assert [type(e) for e in arrived] == [UnicodeDecodeError, KeyError, FileNotFoundError, ValueError]
    assert arrived[0].args == error.args
    assert arrived[1].args == ("1-2",)
    assert arrived[3].args == (["data"],)


def test_nan_and_buffers() -> None:
    """What has no equality of its own."""
    arrived = there_and_back([math.nan, memoryview(b"m"), bytearray(b"b")])
    assert math.isnan(arrived[0])
    assert arrived[1:] == [bytearray(b"m"), bytearray(b"b")]


@pytest.mark.parametrize(
    "code",
    [print, lambda: None, Point, decimal, Point(1, []).__init__, object(), re.compile("a+"), open(__file__)],  # noqa: SIM115
)
def test_code_and_handles_are_refused(code: Any) -> None:
    """D13 and others: the sender hears of it."""
    with contextlib.ExitStack() as stack:
        if hasattr(code, "close"):
            stack.callback(code.close)
        with pytest.raises(MessageNotSerializable):
            ADVANCED.encode({"it": code})


def test_depth_has_a_limit() -> None:
    """The sender's error, not the receiver's."""
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(MessageNotSerializable, match="nested too deeply"):
        ADVANCED.encode(value)


@given(st.binary(max_size=60))
def test_garbage_is_one_exception(payload: bytes) -> None:
    """Whatever a worker sends."""
    with contextlib.suppress(FrameError):
        ADVANCED.decode(payload)


def refused(*message: Any) -> str:
    """Decode nodes that no encoder of ours makes; return why that is refused."""
    made = nodes.Message(message[0], list(message[1:]))
    with pytest.raises(FrameError) as caught:
        ADVANCED.decode(nodes.pack(made))
    return str(caught.value)


@pytest.mark.parametrize(
    "message",
    [
        ((0,), nodes.Exception_("eval", ["1"], [])),
        ((0,), nodes.Exception_("type", ["1"], [])),
        ((0,), nodes.Exception_("no.such", [], [])),
        ((5,),),
        ((-1,), nodes.List([])),
        ((2**63,), nodes.List([])),
        ((0,), nodes.Tuple([(0,)])),
        ((0,), nodes.Set([(0,)])),
        ((0,), nodes.Dict([(1,), 1]), nodes.List([])),
        ((0,), nodes.Dict([1])),
        ((0,), nodes.Uuid(b"x")),
        ((0,), nodes.Timedelta(2**62, 0, 0)),
        ((0,), nodes.DecimalNumber("1e9999999999999999999999")),
        ((0,), nodes.Datetime("2020-01-01", 7)),
        ((0,), nodes.Date("x" * 1_000_000)),
    ],
    ids=lambda message: str(message)[:60],
)
def test_hostile_messages_are_refused(message: Any) -> None:
    """Nothing is looked up, nothing runs away, and the reason is short."""
    assert len(refused(*message)) < 400


@pytest.mark.parametrize(
    "message",
    [
        {"a": 1},
        [None, {1: 2}],
        [[[[0]]], []],
        [None, [[99, []]]],
        [None, [[1, [{}]]]],
        [None, [[1, []]], 1],
        msgspec.msgpack.Ext(5, b"x"),
        dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc),
    ],
    ids=lambda shape: str(shape).partition(" at 0x")[0],
)
def test_other_shapes_are_refused(message: Any) -> None:
    """A map or an extension anywhere, an unknown tag, deeper nesting, one part too many."""
    with pytest.raises(FrameError):
        ADVANCED.decode(msgspec.msgpack.encode(message))


def test_tuples_that_cost_too_much_to_hash_are_refused() -> None:
    """400 bytes whose hash would take 2**60 steps; and what is no key is harmless."""
    tower = [nodes.Tuple([1]), *(nodes.Tuple([(n,), (n,)]) for n in range(1, 60))]
    assert "cost too much to hash" in refused((0,), nodes.Set([(60,)]), *tower)
    assert "cost too much to hash" in refused((0,), nodes.Dict([(60,), 1]), *tower)
    arrived = ADVANCED.decode(nodes.pack(nodes.Message((0,), [nodes.List([(60,)]), *tower])))
    assert arrived[0][0] is arrived[0][1]


def test_tuples_that_are_too_deep_are_refused() -> None:
    """Hashing them would overflow the C stack, which ends the process; each refers to one that is made already."""
    chain = [nodes.Tuple([]), *(nodes.Tuple([(n,)]) for n in range(1, 100_000))]
    assert "nested too deeply" in refused((0,), nodes.List([(n,) for n in range(1, 100_001)]), *chain)


MERSENNE = 2**61 - 1  # the hash of an integer is its rest


def test_keys_that_collide_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal hashes; honest keys of the same kind and number arrive."""
    honest = {n * 2**61 for n in range(1, 8_000)} | {(n, n) for n in range(8_000)} | {n + 0.5 for n in range(9)}
    assert there_and_back(honest) == honest
    monkeypatch.setattr(advanced_decoder, "_FREE_SECONDS", 0.05)
    monkeypatch.setattr(advanced_decoder, "_SECONDS_PER_BYTE", 0.0)  # the whole set would take a second or more
    big = [nodes.BigInt((n * MERSENNE).to_bytes(12, "big")) for n in range(1, 8_000)]
    references = [(n,) for n in range(1, len(big) + 1)]
    assert "collide" in refused((0,), nodes.Set(references), *big)
    assert "collide" in refused((0,), nodes.Dict([part for one in references for part in (one, None)]), *big)


def test_effort_is_bounded_by_the_clock_of_the_thread() -> None:
    """A clock that says that one key took an hour."""
    ticks = iter(range(0, 10**9, 3600))
    message = nodes.unpack(ADVANCED.encode(set(range(1000))))
    with pytest.raises(ValueError, match="collide"):
        Decoder(message, 100, clock=lambda: next(ticks)).root()


def test_integers_that_are_keys_are_bounded() -> None:
    """Comparing one with a Decimal of the same hash takes time that is quadratic in its digits."""
    size = 100_000
    number = 5 + (MERSENNE << (8 * size))
    keys = (nodes.DecimalNumber("5"), nodes.BigInt(number.to_bytes(size + 9, "big")))
    assert "too large" in refused((0,), nodes.Set([(1,), (2,)]), *keys)
    assert there_and_back([number]) == [number]
    assert there_and_back({2**4000: 1}) == {2**4000: 1}


@pytest.mark.parametrize("start", [-(2**40), -1, 2, 2**40])
def test_positions_of_a_unicode_error_are_checked(start: int) -> None:
    """Printing one that points outside of its text reads there, and ends the process."""
    decoding = nodes.Exception_("UnicodeDecodeError", ["utf-8", (1,), start, start + 1, "why"], [])
    assert "outside of its text" in refused((0,), decoding, nodes.Bytes(b"x"))
    encoding = nodes.Exception_("UnicodeEncodeError", ["utf-8", "x", start, start + 1, "why"], [])
    assert "outside of its text" in refused((0,), encoding)
    translating = nodes.Exception_("UnicodeTranslateError", ["x", start, start + 1, "why"], [])
    assert "outside of its text" in refused((0,), translating)


class Unmakeable(UnicodeDecodeError):
    """A subclass whose arguments are those of nothing built in."""

    def __init__(self) -> None:
        super().__init__("utf-8", b"x", 0, 1, "why")
        self.args = ("gone",)


def test_exception_whose_class_wants_other_arguments_arrives_as_an_ancestor() -> None:
    """The nearest one that can be made of its text; Node keeps the name and drops the rest."""
    arrived = there_and_back([Unmakeable()])[0]
    assert type(arrived) is UnicodeError
    assert arrived.args == ("gone",)


def test_names() -> None:
    """As in Node."""
    assert serializer_named(None) is serializer_named("json") is JSON
    assert serializer_named("advanced") is ADVANCED
    with pytest.raises(SettingsError, match="expected 'json' or 'advanced' as serialization, got 'xml'"):
        serializer_named("xml")
