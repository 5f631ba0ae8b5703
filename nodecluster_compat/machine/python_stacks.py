"""Write what the threads of this process are doing, as ``faulthandler`` does, with Python's lock held.

``faulthandler`` takes no lock.  Where other threads run meanwhile their frames change under it, and it may read memory
that is not a frame's: with CPython 3.11, a test that asked three workers of ten threads again and again while they
began ended one of them by SIGSEGV in three of some hundred runs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Final

from ..base.loop import original

__all__ = ["python_stacks"]

_MOST_FRAMES: Final = 100
_MOST_THREADS: Final = 100


def python_stacks(interrupted: FrameType | None) -> str:
    """Return the stacks of all threads, this one last.

    Args:
        interrupted: what this thread was doing; its own frame unless it is given.
    """
    here = original("_thread", "get_ident")()
    frames = sys._current_frames()
    own = frames.pop(here, None)
    some = list(frames.items())[:_MOST_THREADS]
    texts = [_text(f"Thread 0x{ident:016x}", frame) for ident, frame in some]
    return "\n\n".join([*texts, _text(f"Current thread 0x{here:016x}", interrupted or own)])


def _text(title: str, frame: FrameType | None) -> str:
    return "\n".join([f"{title} (most recent call first):", *_lines(frame)])


def _lines(frame: FrameType | None) -> Iterator[str]:
    for _ in range(_MOST_FRAMES):
        if frame is None:
            return
        yield f'  File "{frame.f_code.co_filename}", line {frame.f_lineno} in {frame.f_code.co_name}'
        frame = frame.f_back
    yield "  ..."
