"""Fit text into the cells of a terminal: harmless characters only, as wide as they are shown.  Pure."""

from __future__ import annotations

import unicodedata
from typing import TypeAlias

__all__ = ["Line", "Span", "clipped", "harmless", "plain", "width_of", "wrapped"]

Span: TypeAlias = tuple[str, str]
"""A style (``bold``, ``inverse``, ``dim``, ``good``, ``poor``, ``bad``; empty for none), and a text."""

Line: TypeAlias = tuple[Span, ...]


def harmless(text: str) -> str:
    r"""Return a text without what moves a cursor or turns the direction of writing: that is written as ``\x1b``."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def width_of(text: str) -> int:
    """Return how many cells a harmless text takes."""
    return len(text) if text.isascii() else sum(map(_width, text))


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def clipped(line: Line, width: int) -> Line:
    """Return a line that takes ``width`` cells at most."""
    kept: list[Span] = []
    for style, text in line:
        fits = _first_cells(text, width)
        width -= width_of(fits)
        kept.append((style, fits))
        if fits != text:
            break
    return tuple(kept)


def _first_cells(text: str, width: int) -> str:
    if text.isascii():
        return text[:width]
    used = 0
    for place, character in enumerate(text):
        used += _width(character)
        if used > width:
            return text[:place]
    return text


def wrapped(text: str, width: int) -> list[str]:
    """Return a text in pieces that take ``width`` cells at most; at least one."""
    pieces = []
    while len(text) > 1 and width_of(text) > width:
        piece = _first_cells(text, width) or text[:1]
        pieces.append(piece)
        text = text[len(piece) :]
    return [*pieces, text]


def plain(line: Line) -> str:
    """Return the text of a line, without its styles."""
    return "".join(text for _, text in line).rstrip()
