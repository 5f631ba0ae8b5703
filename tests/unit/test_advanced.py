"""serialization="advanced": types and cycles survive, code does not pass, garbage is one exception."""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import math
import re
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodecluster_compat.errors import FrameError, MessageNotSerializable, SettingsError
from nodecluster_compat.serialization import ADVANCED, JSON, serializer_named

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


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
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


def test_nan_patterns_and_buffers() -> None:
    """What has no equality of its own."""
    arrived = there_and_back([math.nan, re.compile("a+", re.IGNORECASE), memoryview(b"m"), bytearray(b"b")])
    assert math.isnan(arrived[0])
    assert (arrived[1].pattern, arrived[1].flags & re.IGNORECASE) == ("a+", re.IGNORECASE)
    assert arrived[2:] == [bytearray(b"m"), bytearray(b"b")]


@pytest.mark.parametrize("code", [print, lambda: None, Point, decimal, Point(1, []).__init__, object(), open(__file__)])  # noqa: SIM115
def test_code_and_handles_are_refused(code: Any) -> None:
    """The sender hears of it."""
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


@pytest.mark.parametrize(
    "message",
    [
        [[0], [17, ["eval", [], []]]],
        [[0], [17, ["SystemExit", "x", 5]]],
        [[0], [99, []]],
        [[5]],
        [[0], [2, [[0]]]],
    ],
    ids=["a function as exception", "broken exception", "unknown tag", "no such node", "a tuple in itself"],
)
def test_hostile_messages_are_refused(message: Any) -> None:
    """Nothing is looked up, nothing runs away."""
    import msgspec

    with pytest.raises(FrameError):
        ADVANCED.decode(msgspec.msgpack.encode(message))


def test_names() -> None:
    """As in Node."""
    assert serializer_named(None) is serializer_named("json") is JSON
    assert serializer_named("advanced") is ADVANCED
    with pytest.raises(SettingsError, match="expected 'json' or 'advanced' as serialization, got 'xml'"):
        serializer_named("xml")
