"""Write a journal of every lifecycle event and message, for the program that started the primary.

When ``NODECLUSTER_JOURNAL_FD`` names an open descriptor, one JSON object a line goes there: ``seq``, ``time``
(monotonic), ``event``, ``worker``, ``pid``, ``state`` and what the event has to say.  Test tools wait for these lines
instead of guessing from a port.  Writing never blocks the primary: what the reader has not taken waits here.  Past a
bound messages are left out, events never; the next line then says how many, as ``lost``.
"""

from __future__ import annotations

import contextlib
import json
import os
import reprlib
import time
from itertools import count
from typing import Any, Final

from ..base.loop import Loop, original
from ..base.records import Address, Handle, Message
from ..base.variables import JOURNAL_FD
from ..errors import FrameError
from ..messages.frames import Frame, FrameKind
from ..roles.primary import Primary
from ..roles.worker_handle import WorkerHandle

__all__ = ["Journal", "attach_journal"]

_LAST_SECONDS: Final = 1.0
_MOST_WAITING: Final = 1024 * 1024
_MOST_PARTS: Final = 100_000  # of a message that is told as it is
_POLLOUT: Final = 0x004  # spelled out because gevent removes it from the select module
_MESSAGE_CHARACTERS: Final = 16 * 1024  # a longer message is told by its beginning


class Journal:
    """Writes events to a descriptor, as fast as it takes them."""

    def __init__(self, fd: int, loop: Loop) -> None:
        self._fd = fd
        self._loop = loop
        self._sequence = count(1)
        self._waiting = bytearray()
        self._lost = 0
        os.set_blocking(fd, False)

    def record(self, event: str, worker: WorkerHandle, args: tuple[Any, ...]) -> None:
        """Write a lifecycle event."""
        self._write(event, worker, _details(event, worker, args))

    def record_sent(self, worker: WorkerHandle, message: Message, handle: Handle) -> None:
        """Write that a message goes to a worker."""
        if not self._is_behind():
            self._write("message", worker, {"sent": True, "handle": handle is not None, **_told(message)})

    def record_received(self, worker: WorkerHandle, frame: Frame) -> None:
        """Write that a message came from a worker."""
        if self._is_behind():
            return
        has_handle = frame.kind is FrameKind.HANDLE
        try:
            message = worker.line.message_of(frame)
        except FrameError as error:
            message = f"(not decodable: {error})"
        self._write("message", worker, {"sent": False, "handle": has_handle, **_told(message)})

    def _is_behind(self) -> bool:
        """Whether the reader is so far behind that a message is left out, which is counted."""
        behind = len(self._waiting) > _MOST_WAITING
        self._lost += behind
        return behind

    def finish(self, seconds: float = _LAST_SECONDS) -> None:
        """Before the primary ends: wait up to ``seconds`` until the reader has taken everything."""
        writable, limit = original("select", "poll")(), time.monotonic() + seconds
        writable.register(self._fd, _POLLOUT)
        while self._write_waiting() and (patience := limit - time.monotonic()) > 0:
            writable.poll(patience * 1000)

    def close(self) -> None:
        """In a worker: the journal is the primary's."""
        os.close(self._fd)

    def _write(self, event: str, worker: WorkerHandle, details: dict[str, Any]) -> None:
        entry: dict[str, Any] = {
            "seq": next(self._sequence),
            "primary": os.getpid(),
            "time": time.monotonic(),
            "event": event,
            "worker": worker.id,
            "pid": worker.process.pid,
            "state": worker.state,
            **details,
        }
        if self._lost:
            entry["lost"], self._lost = self._lost, 0
        was_empty = not self._waiting
        self._waiting += json.dumps(entry).encode() + b"\n"
        if was_empty:
            self._flush()

    def _flush(self) -> None:
        if self._write_waiting():
            self._loop.add_writer(self._fd, self._flush)
            return
        with contextlib.suppress(OSError):
            self._loop.remove_writer(self._fd)

    def _write_waiting(self) -> bool:
        """Write as much as the reader takes; return whether something still waits."""
        try:
            while self._waiting:
                written = os.write(self._fd, self._waiting)
                del self._waiting[:written]
        except BlockingIOError:
            return True
        except OSError:  # the reader is gone; the primary loses nothing
            self._waiting.clear()
        return False


def _told(message: Message) -> dict[str, Any]:
    if not _is_small(message):
        return {"text": reprlib.repr(message)}
    try:
        text = json.dumps(message)
    except (TypeError, ValueError, RecursionError):
        return {"text": repr(message)[:_MESSAGE_CHARACTERS]}
    return {"message": message} if len(text) <= _MESSAGE_CHARACTERS else {"text": text[:_MESSAGE_CHARACTERS]}


def _is_small(message: Message) -> bool:
    """Whether walking through it ends: one list that contains another twice, sixty levels deep, has 2**60 parts."""
    waiting, left = [message], _MOST_PARTS
    while waiting and left:
        left -= 1
        value = waiting.pop()
        if isinstance(value, (dict, list, tuple, set, frozenset)) and 2 * len(value) > left:
            return False
        if isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple, set, frozenset)):
            waiting += value
    return not waiting


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
    value = os.environ.get(JOURNAL_FD, "")
    if not value.isdigit():
        return None
    try:
        journal = Journal(int(value), primary.loop)
    except OSError:
        return None
    primary.taps.append(journal.record)
    primary.sent_tap = journal.record_sent
    primary.deliveries.received_tap = journal.record_received
    return journal
