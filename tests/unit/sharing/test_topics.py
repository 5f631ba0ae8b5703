"""Which topics a pattern matches, and who comes out of the table."""

from __future__ import annotations

import pytest

from nodecluster_compat.errors import ArgumentError, ArgumentTypeError
from nodecluster_compat.sharing.topics import PatternTable, checked_topic


@pytest.mark.parametrize(
    ("pattern", "topic", "matches"),
    [
        ("news", "news", True),
        ("news", "newsy", False),
        ("cache.*", "cache.user.7", True),
        ("cache.*", "cache", False),
        ("*", "anything", True),
        ("user.?", "user.1", True),
        ("user.[0-3]", "user.4", False),
        ("a.b", "aXb", False),
        ("cache.*", "Cache.x", False),
    ],
)
def test_patterns(pattern: str, topic: str, matches: bool) -> None:
    """A shell's; a topic without special characters is only itself."""
    table: PatternTable[int] = PatternTable()
    table.add(pattern, 1)
    assert table.matching(topic) == ((1,) if matches else ())


def test_an_owner_comes_once_and_in_order() -> None:
    """However many of its patterns match; a change is seen although the topic was asked for before."""
    table: PatternTable[str] = PatternTable()
    assert table.add("a.*", "first")
    assert not table.add("a.*", "second")
    table.add("a.b", "second")
    assert table.matching("a.b") == ("second", "first")
    assert not table.remove("a.*", "first")
    assert table.matching("a.b") == ("second",)
    assert table.remove("a.b", "second")
    assert not table.remove("a.b", "second")
    assert table.matching("a.b") == ("second",)
    assert table.remove("a.*", "second")
    assert table.matching("a.b") == ()


def test_many_topics_cost_no_memory() -> None:
    """What is remembered of topics is bounded."""
    table: PatternTable[int] = PatternTable()
    table.add("*", 1)
    for number in range(5000):
        assert table.matching(str(number)) == (1,)
    assert len(table._remembered) <= 1024


@pytest.mark.parametrize("topic", ["", "x" * 256, "é" * 128, "\ud800"])
def test_what_is_no_topic_is_refused(topic: str) -> None:
    """Empty, too long, not to be encoded."""
    with pytest.raises(ArgumentError, match="as a topic"):
        checked_topic(topic)


def test_what_is_no_text_is_refused() -> None:
    """By a sentence that says what came."""
    with pytest.raises(ArgumentTypeError, match="expected text as a topic, got int"):
        checked_topic(5)
