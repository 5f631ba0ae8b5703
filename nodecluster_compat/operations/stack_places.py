"""Find in stacks, as workers write them, at which line of code each greenlet, thread or task is.  Pure.

A title that names greenlets or threads by their number, ``0x7f…``, or a task by its, is followed by indented frames.
``faulthandler`` writes the newest frame first, and says so; everybody else writes it last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

__all__ = ["number_that_runs", "place_of_worker", "places_of"]

_FRAME: Final = re.compile(r'\s+File "(?P<file>[^"]*)", line (?P<line>\d+),? in (?P<function>.*)')
_NUMBER: Final = re.compile(r"\b0x(?P<hex>[0-9a-f]{1,16})\b|^Task 'Task-(?P<task>\d{1,15})'")
_RUNNING: Final = re.compile(
    r"\b0x(?P<hex>[0-9a-f]{1,16}) \(running\)|^Task 'Task-(?P<task>\d{1,15})'.* runs:$", re.MULTILINE
)
_NEWEST_FIRST: Final = "(most recent call first)"
_THIS_THREAD: Final = "Current thread "
_SERVERS: Final = ("/gevent/", "/gunicorn/", "/nodecluster_compat/", "/asyncio/", "<frozen")
"""Where nobody wants to be shown, if there is anything else."""


def places_of(stacks: str) -> dict[int, str]:
    """Return the place of each greenlet or thread, by its number: ``/srv/app.py:12 in index``."""
    places: dict[int, str] = {}
    for title, frames in _stacks(stacks):
        for found in _NUMBER.finditer(title):
            number = int(found["hex"], 16) if found["hex"] else int(found["task"])
            places.setdefault(number, _place(title, frames))
    return places


def number_that_runs(stacks: str) -> int | None:
    """Return the number of the greenlet or task that runs; ``None`` where no stack says so."""
    found = _RUNNING.search(stacks)
    if found is None:
        return None
    return int(found["hex"], 16) if found["hex"] else int(found["task"])


def place_of_worker(stacks: str) -> str | None:
    """Return the place of the thread that took the signal, the main one: what holds up everything else, if it does."""
    found = [_place(title, frames) for title, frames in _stacks(stacks) if title.startswith(_THIS_THREAD)]
    return found[0] if found else None


def _place(title: str, frames: list[str]) -> str:
    newest_first = frames if _NEWEST_FIRST in title else frames[::-1]
    return next((one for one in newest_first if not any(part in one for part in _SERVERS)), newest_first[0])


def _stacks(text: str) -> Iterator[tuple[str, list[str]]]:
    title, frames = "", list[str]()
    for line in text.splitlines():
        if not line.startswith(" "):
            if frames:
                yield title, frames
            title, frames = line, []
        elif (frame := _FRAME.fullmatch(line)) is not None:
            frames.append(f"{frame['file']}:{frame['line']} in {frame['function']}")
    if frames:
        yield title, frames
