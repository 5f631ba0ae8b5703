"""Connections of a worker, from its channel to their close, in C and in Python.

Each input takes milliseconds, since it waits for what it sends; ``test_taken_in_c.py`` runs some.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from fuzz_requests import can_compare
from fuzz_targets import Target

from nodecluster_compat.base.native import PYTHON, in_force

__all__ = ["TAKES"]


@cache
def _support(name: str) -> Any:
    support = str(Path(__file__).parents[1] / "support")
    if support not in sys.path:
        sys.path.append(support)
    return import_module(name)


def _check(data: bytes) -> None:
    taken = _support("taken_twice").taken
    ours, python = taken(data[:20], in_force()), taken(data[:20], PYTHON)
    assert ours == python, (data, ours, python)


def _take(data: bytes) -> None:
    _support("kept_worker").take(data[:_READ])


_READ: Final = 12  # bytes in C alone
_SEEDS: Final = (b"\0\1\2", b"\xa5\xa5\1\2\x7c", b"\0\5\x13\x22\4\7", b"\0\x09\0\0\x27\x0a\x0b")

TAKES: Final[dict[str, Target]] = (
    {}
    if in_force().module is None or not can_compare()
    else {"takes": Target(_check, _SEEDS, (b"\0", b"\1\2", b"\7", b"\x08"), _take, _READ)}
)
"""None where there is no extension, or no parser in C."""
