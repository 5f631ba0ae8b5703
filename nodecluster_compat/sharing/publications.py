"""Split runs of frames that publish, as they came together, into their messages: bytes in, messages out.  No sockets.

A flood costs most where each of its messages is dealt with by itself.  So what comes together stays together: the
primary passes on the bytes of a run as they are, once for each process that wants them, and a process takes all of it
out at once.  C, which reads, makes the runs; where Python reads there are none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from ..base.native import Choice, in_force
from ..errors import FrameError
from ..messages.frames import HEADER, FrameKind
from .wire import decode_publish

__all__ = ["Bodies", "Place", "bodies_of", "bodies_of_run", "topics_of", "topics_of_run"]

Place = tuple[str, int, int, int]
"""A topic, where its frames begin and end in the run, and how many they are."""

Bodies = tuple[str, list[bytes]]
"""A topic, and its messages."""

_PUBLISH: Final = FrameKind.PUBLISH.value


def topics_of(run: bytes) -> list[Place] | None:
    """Return the topics of a run; neighbours that have one topic are together.

    ``None``: it is no run of frames that publish.
    """
    places: list[Place] = []
    try:
        for topic, _, begin, end in _publications(run):
            if places and places[-1][0] == topic:
                _, first, _, count = places.pop()
                places.append((topic, first, end, count + 1))
            else:
                places.append((topic, begin, end, 1))
    except FrameError:
        return None
    return places


def bodies_of(run: bytes) -> list[Bodies] | None:
    """Return the topics of a run and their messages, as :func:`topics_of` has them."""
    groups: list[Bodies] = []
    try:
        for topic, body, _, _ in _publications(run):
            if groups and groups[-1][0] == topic:
                groups[-1][1].append(body)
            else:
                groups.append((topic, [body]))
    except FrameError:
        return None
    return groups


def _publications(run: bytes) -> Iterator[tuple[str, bytes, int, int]]:
    begin = 0
    while begin < len(run):
        if len(run) - begin < HEADER.size:
            raise FrameError("a run ends within a header")
        size, kind = HEADER.unpack_from(run, begin)
        start, end = begin + HEADER.size, begin + HEADER.size + size
        if kind != _PUBLISH or end > len(run):
            raise FrameError("a run holds what is no frame that publishes")
        topic, body = decode_publish(run[start:end])
        yield topic, bytes(body), begin, end
        begin = end


def topics_of_run(choice: Choice | None = None) -> Callable[[bytes], list[Place] | None]:
    """Return :func:`topics_of`, in C where that is in force."""
    module = (in_force() if choice is None else choice).module
    return topics_of if module is None else module.topics_of


def bodies_of_run(choice: Choice | None = None) -> Callable[[bytes], list[Bodies] | None]:
    """Return :func:`bodies_of`, in C where that is in force."""
    module = (in_force() if choice is None else choice).module
    return bodies_of if module is None else module.bodies_of
