"""Control characters in the lines of a log."""

from __future__ import annotations

import logging

import pytest

from nodecluster_compat.base.one_line import Lines, OneLine, one_line


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("", ""),
        ("plain, ünïcode \N{SNOWMAN} \\n", "plain, ünïcode \N{SNOWMAN} \\n"),
        ("a\r\nb", "a\\x0d\\x0ab"),
        ("\x00\x1b[2J\x7f\x85\x9b\t", "\\x00\\x1b[2J\\x7f\\x85\\x9b\\x09"),
        ("a\u2028b\u2029", "a\\u2028b\\u2029"),
        ("no\xa0control\ud800", "no\xa0control\ud800"),
    ],
)
def test_control_characters_are_escaped(text: str, escaped: str) -> None:
    """And nothing else is."""
    assert one_line(text) == escaped
    assert len(one_line(text).splitlines()) <= 1


def said(message: str, *args: object, meant: bool = True) -> str:
    record = logging.LogRecord("x", logging.INFO, __file__, 1, message, args, None)
    assert OneLine(lambda _: meant).filter(record)
    return record.getMessage()


def test_what_is_put_into_a_line_stays_in_it() -> None:
    """Strings, objects and numbers, in every way in which they are put in."""
    assert said("%s", "a\nb") == "a\\x0ab"
    assert said("%s and %r", ValueError("a\nb"), "a\nb") == "a\\x0ab and 'a\\\\x0ab'"
    assert said("%(one)s", {"one": "a\nb"}) == "a\\x0ab"
    assert said("%d %5.1f %s %s", 3, 1.5, None, True) == "3   1.5 None True"


def test_several_lines_that_are_meant_stay() -> None:
    """Stacks; the words of the line itself; and what is somebody else's."""
    assert said("%s\n%s", "title\n", Lines("a\nb")) == "title\\x0a\na\nb"
    assert said("%s", "a\nb", meant=False) == "a\nb"
