"""The primary looks whose a connection of Engine.IO is; in C as in Python."""

from __future__ import annotations

import pytest
from drawing import drawn
from hypothesis import given, settings
from hypothesis import strategies as st

from nodecluster_compat._gunicorn.arbiter.peeked_keys import quick_look
from nodecluster_compat.base.native import PYTHON, in_force

SID = "wGf0hLQyoVuhV3R6AAAA"

PIECES = st.sampled_from(
    [
        b"GET /",
        b"?",
        b"&",
        b"sid=",
        b"EIO=4",
        b"=",
        SID.encode(),
        b".",
        b"%2E",
        b"%2e",
        b"3",
        b"12",
        b"0",
        b"9" * 11,
        b" ",
        b"\n",
        b"\r\n",
        b"/",
        b"_",
        b"?EIO=4&sid=" + SID.encode() + b".7",
        b"\xff",
        b"\0",
    ]
)


@pytest.mark.skipif(in_force().module is None, reason=str(in_force()))
@settings(max_examples=drawn(1000), deadline=None)
@given(st.one_of(st.lists(PIECES, max_size=14).map(b"".join), st.binary(max_size=60)))
def test_a_look_in_c_sees_what_one_in_python_sees(data: bytes) -> None:
    assert quick_look(in_force())(data) == quick_look(PYTHON)(data)


@pytest.mark.parametrize("data", [f"/?EIO=4&sid={SID}.3 ", f"?EIO=4&sid={SID}.3&", f"&sid={SID}.3 EIO="])
def test_a_look_sees_whose_a_line_is(data: str) -> None:
    whole = data.encode()
    for look in (quick_look(in_force()), quick_look(PYTHON)):
        assert look(whole) == 3
        assert look(b"x" * 2000 + whole) == 3
        assert [look(whole[:size]) for size in range(len(whole) - 4)] == [0] * (len(whole) - 4)
        assert look(b"\n" + whole) == 0
