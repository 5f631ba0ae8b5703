"""Find the workers that an operator names: ``2`` is a slot, ``pid:4711`` and ``id:9`` name one of two in a slot."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from ...errors import OrderRefused

if TYPE_CHECKING:
    from ...roles.worker_handle import WorkerEntry
    from .seat import Seat

__all__ = ["described", "one_worker", "workers_asked_for", "workers_named"]

_DIGITS: Final = re.compile("[0-9]{1,18}")


def workers_named(arbiter: Seat, name: str) -> list[WorkerEntry]:
    """Return the workers with that name, the one that is to stay first: while one is replaced its slot has two.

    Raises:
        OrderRefused: there is none, or that is no name.
    """
    kind, _, number = name.rpartition(":")
    if kind not in ("", "pid", "id") or not _DIGITS.fullmatch(number):
        raise OrderRefused(f"expected a slot such as 2, pid:4711 or id:9, got {name!r}")
    entries = arbiter.roster.with_handles
    found = [entry for entry in entries if _number_of(entry, kind) == int(number)]
    if not found:
        slots = ", ".join(str(slot) for slot in sorted({entry.slot for entry in entries})) or "none"
        raise OrderRefused(f"there is no worker {name}; the slots that are filled: {slots}")
    return sorted(found, key=lambda entry: (not entry.way_out.is_ending, entry.is_listening, entry.age), reverse=True)


def workers_asked_for(arbiter: Seat, arguments: Sequence[str]) -> list[WorkerEntry]:
    """Return the workers that the only argument names; all of them where there is none, or it is ``all``.

    Raises:
        OrderRefused: there is none of that name, or there are several arguments.
    """
    if len(arguments) > 1:
        raise OrderRefused(f"expected one worker, such as 2, got {' '.join(arguments)}")
    if not arguments or arguments[0] == "all":
        return list(arbiter.roster.with_handles)
    return workers_named(arbiter, arguments[0])


def one_worker(arbiter: Seat, arguments: Sequence[str]) -> WorkerEntry:
    """Return the worker that the only argument names.

    Raises:
        OrderRefused: there is none, or it is not one argument.
    """
    if len(arguments) != 1:
        raise OrderRefused(f"expected one worker, such as 2, got {' '.join(arguments) or 'none'}")
    return workers_named(arbiter, arguments[0])[0]


def described(entry: WorkerEntry) -> dict[str, Any]:
    """Return which worker it is."""
    worker_id = None if entry.handle is None else entry.handle.id
    return {"id": worker_id, "slot": entry.slot, "pid": entry.pid}


def _number_of(entry: WorkerEntry, kind: str) -> int:
    if kind == "pid":
        return entry.pid
    assert entry.handle is not None
    return entry.handle.id if kind == "id" else entry.slot
