"""Write the stack of a request as people want to read it: from the application on, without the server around it."""

from __future__ import annotations

import traceback
from itertools import dropwhile
from types import FrameType
from typing import Final

__all__ = ["stack_of_application"]

_FRAMES: Final = 60
_SERVERS: Final = ("/gevent/", "/gunicorn/", "/nodecluster_compat/", "/threading.py")


def stack_of_application(frame: FrameType | None) -> str:
    """Return a stack, the newest frame last, without the oldest frames that are the server's; whole if all of it is.

    Args:
        frame: the newest; ``None``: what is asked about does not wait anywhere.
    """
    frames = [] if frame is None else traceback.extract_stack(frame, _FRAMES)
    of_application = dropwhile(lambda one: any(part in one.filename for part in _SERVERS), frames)
    return "".join(traceback.format_list(list(of_application) or frames)).rstrip()
