"""The primary's own word on every lifecycle event, for the program that started it.

When ``NODECLUSTER_JOURNAL_FD`` names an open descriptor, one JSON object a line goes there: ``seq``, ``time``
(monotonic), ``event``, ``worker``, ``pid``, ``state`` and what the event has to say.  Test tools wait for these lines
instead of guessing from a port.  Writing never blocks the primary; a reader that does not read loses lines, and
sees that by ``seq``.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from itertools import count
from typing import Any, Final

from .primary import Primary
from .records import Address
from .worker_handle import WorkerHandle

__all__ = ["Journal", "attach_journal"]

_VARIABLE: Final = "NODECLUSTER_JOURNAL_FD"


class Journal:
    """Writes events to a descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._sequence = count(1)
        os.set_blocking(fd, False)

    def record(self, event: str, worker: WorkerHandle, args: tuple[Any, ...]) -> None:
        """Write one event."""
        entry: dict[str, Any] = {
            "seq": next(self._sequence),
            "time": time.monotonic(),
            "event": event,
            "worker": worker.id,
            "pid": worker.process.pid,
            "state": worker.state,
        }
        entry.update(_details(event, worker, args))
        # A reader that is slow or gone loses lines; the primary loses nothing.
        with contextlib.suppress(OSError):
            os.write(self._fd, json.dumps(entry).encode() + b"\n")

    def close(self) -> None:
        """In a worker: the journal is the primary's."""
        os.close(self._fd)


def _details(event: str, worker: WorkerHandle, args: tuple[Any, ...]) -> dict[str, Any]:
    if event == "listening":
        address: Address = args[0]
        fields = ("address", "port", "address_type", "fd")
        return {"address": {field: getattr(address, field) for field in fields}}
    if event == "exit":
        code, signal = args
        return {"code": code, "signal": signal, "exited_after_disconnect": worker.exited_after_disconnect}
    if event == "disconnect":
        return {"exited_after_disconnect": worker.exited_after_disconnect}
    return {}


def attach_journal(primary: Primary) -> Journal | None:
    """Start the journal that the environment asks for, if it does and the descriptor is open."""
    value = os.environ.get(_VARIABLE, "")
    if not value.isdigit():
        return None
    try:
        journal = Journal(int(value))
    except OSError:
        return None
    primary.taps.append(journal.record)
    return journal
