"""The long string of a message is encoded and decoded apart, with the same result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nodecluster_compat.base.native import PYTHON, Choice, in_force
from nodecluster_compat.messages.json_strings import LONG_STRING, decoded, encoded

CHOICES = pytest.mark.parametrize("choice", [in_force(), PYTHON], ids=["native", "python"])
MARK = "\x7ftext\x7f"
LONG = "x" * LONG_STRING
LIMITS = [0, 1, 63, 64, 65, LONG_STRING // 2, LONG_STRING - 1, LONG_STRING]
CHARACTERS = [*map(chr, range(0x20)), '"', "\\", "\x7f", "\x80", "é", "€", "\U0001f600"]
VALUES = st.sampled_from([1, None, "short", MARK, LONG, LONG[1:], LONG + "é", LONG + "\n", [LONG], {"text": LONG}])
MESSAGES = st.one_of(st.dictionaries(st.sampled_from(["a", "b", "c", 5, MARK, "é", "\n", LONG]), VALUES), VALUES)


@CHOICES
@settings(deadline=None)
@given(MESSAGES)
@example({"a": LONG, "b": MARK})
@example({MARK: LONG})
@example({LONG: MARK})
@example({5: LONG, "5": "same name"})
def test_message_is_encoded_and_decoded_as_ever(choice: Choice, message: Any) -> None:
    """Whatever it holds: the same bytes in the same order, and the same message on the other side."""
    before = repr(message)
    json = encoded(message, choice.module)
    assert json == msgspec.json.encode(message)
    assert decoded(bytearray(json), choice.module) == decoded(json, choice.module) == msgspec.json.decode(json)
    assert repr(message) == before


@CHOICES
@pytest.mark.parametrize("place", LIMITS)
def test_no_character_is_missed(choice: Choice, place: int) -> None:
    for character in CHARACTERS:
        message = {"index": 1, "text": LONG[:place] + character + LONG[place:]}
        json = msgspec.json.encode(message)
        assert encoded(message, choice.module) == json, character
        assert decoded(json, choice.module) == message, character


PARTS = st.lists(
    st.sampled_from(
        [
            *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b'"a"', b'"b"', b'"a":', b"1", b" ", b"\xff"),
            *(b'"\\u007ftext\\u007f"', b'"\x7ftext\x7f"'),
            *(LONG.encode(), b'"%s"' % LONG.encode(), b'"%s\xff"' % LONG.encode()),
        ]
    ),
    max_size=9,
)


def outcome(decode: Callable[[bytes], Any], json: bytes) -> Any:
    try:
        return decode(json)
    except (msgspec.MsgspecError, ValueError) as error:
        return type(error), str(error)


@CHOICES
@settings(deadline=None)
@given(PARTS.map(b"".join))
@example(b'{"a":"%s","b":"\\u007ftext\\u007f","a":1}' % LONG.encode())
@example(b'{"a":"%s","a":1}' % LONG.encode())
@example(b'{"a":1,"b":"%s","a":"%s"}' % (LONG.encode(), LONG.encode()))
@example(b'"' + LONG.encode())
@example(b'{"a":"%s"' % LONG.encode())
@example(b'{"a":"%s\\""}' % LONG.encode())
@example(b'{"a":"%s"} behind' % LONG.encode())  # an error that has a place
@example(b" " * LONG_STRING)
def test_whatever_comes_is_decoded_or_refused_as_ever(choice: Choice, json: bytes) -> None:
    """Names that come twice, what is escaped, what looks like a mark, what is no JSON."""
    assert outcome(lambda json: decoded(json, choice.module), json) == outcome(msgspec.json.decode, json)


@pytest.mark.skipif(in_force().module is None, reason=str(in_force()))
def test_c_takes_out_a_text_and_puts_it_in() -> None:
    """Or nothing would be gained."""
    module: Any = in_force().module
    json = msgspec.json.encode({"index": 1, "text": LONG})
    rest, text = module.extract_string(json, MARK)
    assert (rest, text) == (msgspec.json.encode({"index": 1, "text": MARK}), LONG)
    assert module.insert_string(rest, MARK, text) == json
