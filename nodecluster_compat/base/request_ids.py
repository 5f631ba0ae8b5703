"""Give each request an id: the one that a trusted peer has given it, or a new one."""

from __future__ import annotations

import os
import random
import re
from typing import Final

__all__ = ["NewIds", "said_id"]

_SANE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@~-]{0,127}")
_TRACE: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_BITS: Final = 128


class NewIds:
    """Makes ids, of 32 hexadecimal digits; to be made after the fork.

    They are no secrets, so the dice are quick, and thrown by the system once.
    """

    def __init__(self) -> None:
        self._bits = random.Random(os.urandom(_BITS)).getrandbits  # noqa: S311 - as above

    def __call__(self) -> str:
        """Return one that nobody has had."""
        return f"{self._bits(_BITS):032x}"


def said_id(given: str | None, traceparent: str | None) -> str | None:
    """Return the id that a peer says, who may; ``None`` where it says none that can be.

    Args:
        given: what its header says.
        traceparent: of W3C Trace Context: the id is that of the trace, if none is given.

    Returns:
        At most 128 letters, digits and a few signs that mean nothing in a header, a log or a shell's quotes.
    """
    if given is not None and _SANE.fullmatch(given):
        return given
    trace = None if traceparent is None else _TRACE.fullmatch(traceparent)
    return None if trace is None else trace[1]
