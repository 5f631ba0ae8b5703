"""Match topics with patterns: ``cache.*``, ``user.[0-9]``, ``news``.  No sockets.

A pattern is a shell's, as in Redis: ``*`` is any text, dots included, ``?`` one character, ``[ab]`` one of several.
Python's ``fnmatch`` makes a regular expression of it that cannot be made to run for long.

What matches a topic is remembered, for topics come again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import translate
from typing import Final, Generic, Protocol, TypeVar

from ..errors import ArgumentError, ArgumentTypeError

__all__ = ["MOST_TOPIC_BYTES", "PatternTable", "checked_topic"]

MOST_TOPIC_BYTES: Final = 255
MOST_PATTERNS: Final = 4096
"""Different patterns that one process subscribes to; the primary looks at each for every message."""

_MOST_REMEMBERED: Final = 1024
_SPECIAL: Final = frozenset("*?[")


class _Hashable(Protocol):
    def __hash__(self) -> int: ...


Owner = TypeVar("Owner", bound=_Hashable)


def checked_topic(topic: object, what: str = "a topic") -> str:
    """Return a topic, or a pattern of topics.

    Raises:
        ArgumentTypeError: it is no text.
        ArgumentError: it is empty, or has more than 255 bytes as UTF-8.
    """
    if not isinstance(topic, str):
        raise ArgumentTypeError(f"expected text as {what}, got {type(topic).__name__}")
    try:
        size = len(topic.encode())
    except UnicodeEncodeError as error:
        raise ArgumentError(f"expected text that UTF-8 can carry as {what}, got {topic!r}") from error
    if not 0 < size <= MOST_TOPIC_BYTES:
        raise ArgumentError(f"expected 1 to {MOST_TOPIC_BYTES} bytes as {what}, got {size}: {topic[:40]!r}")
    return topic


class PatternTable(Generic[Owner]):
    """Knows who wants which topics; owners come out in the order in which they went in."""

    def __init__(self) -> None:
        self._owners: dict[str, dict[Owner, None]] = {}
        self._expressions: dict[str, re.Pattern[str]] = {}
        self._remembered: dict[str, tuple[Owner, ...]] = {}

    def __contains__(self, pattern: str) -> bool:
        return pattern in self._owners

    def __len__(self) -> int:
        return len(self._owners)

    def __iter__(self) -> Iterator[str]:
        return iter(self._owners)

    def owners(self, pattern: str) -> tuple[Owner, ...]:
        """Return the owners of exactly this pattern."""
        return tuple(self._owners.get(pattern, ()))

    def add(self, pattern: str, owner: Owner) -> bool:
        """Add an owner; return whether the pattern is new."""
        is_new = pattern not in self._owners
        if is_new and not _SPECIAL.isdisjoint(pattern):
            self._expressions[pattern] = re.compile(translate(pattern))
        self._owners.setdefault(pattern, {})[owner] = None
        self._remembered.clear()
        return is_new

    def remove(self, pattern: str, owner: Owner) -> bool:
        """Remove an owner, if it is there; return whether the pattern has none any more."""
        owners = self._owners.get(pattern)
        if owners is None:
            return False
        owners.pop(owner, None)
        self._remembered.clear()
        if owners:
            return False
        del self._owners[pattern]
        self._expressions.pop(pattern, None)
        return True

    def matching(self, topic: str) -> tuple[Owner, ...]:
        """Return each owner that wants ``topic``, once."""
        found = self._remembered.get(topic)
        if found is None:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            found = self._remembered[topic] = self._search(topic)
        return found

    def _search(self, topic: str) -> tuple[Owner, ...]:
        found: dict[Owner, None] = dict(self._owners.get(topic, ()))
        for pattern, expression in self._expressions.items():
            if expression.match(topic):
                found.update(self._owners[pattern])
        return tuple(found)
