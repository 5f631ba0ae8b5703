"""Give each request an id: that of whoever is trusted to have given it one, or a new one.  Pure, but for the dice."""

from __future__ import annotations

import os
import re
from typing import Final

__all__ = ["request_id"]

_SANE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@~-]{0,127}")
_TRACE: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_BYTES: Final = 16


def request_id(given: str | None, traceparent: str | None, *, is_trusted: bool) -> str:
    """Return the id of a request.

    Args:
        given: what its header says.
        traceparent: of W3C Trace Context: the id is that of the trace, if none is given.
        is_trusted: whether the peer may say it.

    Returns:
        At most 128 letters, digits and a few signs that mean nothing in a header, a log or a shell's quotes; a new one
        has 32 hexadecimal digits.
    """
    if is_trusted:
        if given is not None and _SANE.fullmatch(given):
            return given
        trace = _TRACE.fullmatch(traceparent or "")
        if trace is not None:
            return trace[1]
    return os.urandom(_BYTES).hex()
