"""Log once for all workers of a generation, by a flag in memory that they share."""

from __future__ import annotations

import mmap
from enum import IntEnum

__all__ = ["Topic", "allow_once", "is_first_to_say"]


class Topic(IntEnum):
    """A subject of which something is said once."""

    REPLACED_HANDLERS = 0
    GRPC_UNPREPARED = 1
    GEVENT_WEBSOCKET = 2
    ROUTING = 3
    MAX_REQUESTS = 4
    ASYNC_MODE = 5


class _ThisProcess:
    said: mmap.mmap | None = None  # of this process and of those that it forks


def allow_once() -> None:
    """In the primary, before workers of a generation are forked: one of them may speak of each topic."""
    if _ThisProcess.said is None:
        _ThisProcess.said = mmap.mmap(-1, len(Topic))
    _ThisProcess.said[:] = bytes(len(Topic))


def is_first_to_say(topic: Topic) -> bool:
    """Whether nobody has spoken of it yet; two that ask in the same moment may both be the first."""
    if _ThisProcess.said is None:
        return True
    is_first = not _ThisProcess.said[topic]
    _ThisProcess.said[topic] = 1
    return is_first
