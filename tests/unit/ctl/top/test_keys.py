"""Keys, as terminals send them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodecluster_compat.ctl.top.keys import Keys


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"q", ["q"]),
        (b"jk?", ["j", "k", "?"]),
        (b"\x1b[A\x1bOB\x1b[5~\x1b[6~", ["up", "down", "page up", "page down"]),
        (b"\x1b[H\x1b[4~\x1b[C\x1bOD", ["home", "end", "right", "left"]),
        (b"\r \x7f", ["enter", "space", "back"]),
        (b"\x1b", ["escape"]),
        (b"\x1b\x1b[A", ["escape", "up"]),
        ("ä€".encode(), ["ä", "€"]),
        (b"\x1b[1;5C\x1b[<0;1;1Mq", ["", "", "q"]),
        (b"\x00\xff", ["", "\ufffd"]),
        (b"", []),
    ],
)
def test_keys_have_names(data: bytes, keys: list[str]) -> None:
    assert list(Keys().feed(data)) == keys


def test_sequence_may_come_in_parts() -> None:
    keys = Keys()
    assert list(keys.feed(b"x\x1b[")) == ["x"]
    assert list(keys.feed(b"Ay")) == ["up", "y"]


@given(st.lists(st.binary(max_size=40)))
def test_anything_may_come(pieces: list[bytes]) -> None:
    """And little of it is kept."""
    keys = Keys()
    for piece in pieces:
        assert all(isinstance(key, str) for key in keys.feed(piece))
        assert len(keys._rest) < 64
