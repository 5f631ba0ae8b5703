"""The journal: what the primary says happened, in the order in which it happened.

The primary writes one JSON object per line to a pipe whose number is in ``NODECLUSTER_JOURNAL_FD``.  A daemon
thread reads it to the end, so the primary never waits for a test; everything else here looks at the list that
the thread fills, under one condition variable.  A line that is not understood is kept in
:attr:`Journal.problems` and shown with every time-out: it is a defect of the writer, and no reason to lose
the rest.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from .waiting import Deadline, scaled, timed_out

__all__ = ["LIFECYCLE", "Journal", "JournalEntry", "ListeningAddress", "Wanted"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

T = TypeVar("T")

LIFECYCLE = ("fork", "online", "listening", "disconnect", "exit")
EVENTS = (*LIFECYCLE, "message", "fault")
DEFAULT_TIMEOUT = 10.0
LAST_ENTRIES = 20
MANY_ENTRIES = 2000
LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class ListeningAddress:
    """Where a worker listens, with the attributes of Node's ``listening`` event."""

    address: str | None
    port: int
    address_type: int | str
    fd: int | None = None


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One step in the life of one worker, one message, or one fault that the test has injected."""

    seq: int
    """Position in this journal, from 1."""
    time: float
    """The primary's monotonic clock, which all processes of a machine share."""
    event: str
    """``fork``, ``online``, ``listening``, ``disconnect``, ``exit``; ``message``; ``fault``."""
    worker: int
    """The id of the worker; 0 for a fault of the primary."""
    pid: int | None
    state: str
    """The worker's, after the event; empty for a fault."""
    address: ListeningAddress | None = None
    exited_after_disconnect: bool | None = None
    code: int | None = None
    signal: str | None = None
    sent: bool | None = None
    """Of a message: the primary has sent it (true), or received it."""
    message: Any = None
    """The message itself, where it is JSON of up to 16 KiB; otherwise the beginning of its text."""
    handle: bool = False
    """Whether a descriptor came with the message."""
    detail: str = ""
    """Of a fault: what was injected."""
    ends: bool = False
    """Of a fault: whether it will end the worker."""
    primary: int | None = None
    """The pid of the primary that tells of it."""

    @property
    def injected(self) -> bool:
        """Whether the test did this, rather than the cluster."""
        return self.event == "fault"

    def __str__(self) -> str:
        head = f"#{self.seq} {self.time:.3f} {self.event}"
        if self.event == "fault":
            return f"{head} INJECTED {self.detail}"
        details = f"{head} worker={self.worker} pid={self.pid} state={self.state}"
        if self.event == "message":
            return f"{head} {'to' if self.sent else 'from'} worker={self.worker} {self.message!r:.200}"
        if self.address is not None:
            details += f" address={self.address.address}:{self.address.port}"
        if self.event == "exit":
            details += f" code={self.code} signal={self.signal}"
        if self.event in ("disconnect", "exit"):
            details += f" exited_after_disconnect={self.exited_after_disconnect}"
        return details


def parse_entry(line: bytes, seq: int) -> tuple[JournalEntry, int]:
    """Return the entry in *line*, and how many messages were left out before it; ``ValueError`` when it is not one."""
    try:
        raw: Mapping[str, Any] = json.loads(line)
        address = raw.get("address")
        entry = JournalEntry(
            seq=seq,
            time=float(raw["time"]),
            event=raw["event"],
            worker=int(raw["worker"]),
            pid=raw.get("pid"),
            state=raw["state"],
            address=None if address is None else ListeningAddress(**address),
            exited_after_disconnect=raw.get("exited_after_disconnect"),
            code=raw.get("code"),
            signal=raw.get("signal"),
            sent=raw.get("sent"),
            message=raw.get("message", raw.get("text")),
            handle=raw.get("handle", False),
            primary=raw.get("primary"),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{error!r} in {line[:200]!r}") from error
    if entry.event not in EVENTS:
        raise ValueError(f"unknown event in {line[:200]!r}")
    return entry, int(raw.get("lost", 0))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries somebody waits for."""

    event: str | None = None
    worker: int | None = None
    predicate: Callable[[JournalEntry], bool] | None = None
    what: str = ""
    """What the predicate looks for, in words."""

    def __post_init__(self) -> None:
        if self.event is not None and self.event not in EVENTS:
            raise ValueError(f"unknown event {self.event!r}: the events are {', '.join(EVENTS)}")

    def fits(self, entry: JournalEntry) -> bool:
        """Whether this is one of them."""
        fits = self.event in (None, entry.event) and self.worker in (None, entry.worker)
        return fits and (self.predicate is None or self.predicate(entry))

    def __str__(self) -> str:
        text = f"event {self.event or '(any)'}"
        text += "" if self.worker is None else f" of worker {self.worker}"
        return text + ("" if self.predicate is None else f" {self.what or 'that fits the predicate'}")


class Journal:
    """Every event, message and fault of a cluster; filled while it runs, readable after it has ended.

    Attributes:
        problems: lines that were not understood, and gaps: what the reader was too slow for.
        later: what the primaries say that USR2 has started; they number their workers from 1 as well.
        diagnose: asked for more sections whenever a wait has failed.
    """

    def __init__(self, fd: int, *, log_tail: Callable[[], str] = str) -> None:
        self.problems: list[str] = []
        self.later: list[JournalEntry] = []
        self.diagnose: Callable[[], list[tuple[str, str]]] = list
        self._entries: list[JournalEntry] = []
        self._changed = threading.Condition()
        self._ended = False
        self._log_tail = log_tail
        self._thread = threading.Thread(target=self._read, args=(fd,), name="cluster-journal", daemon=True)
        self._thread.start()

    @property
    def entries(self) -> tuple[JournalEntry, ...]:
        """What has been read so far."""
        with self._changed:
            return tuple(self._entries)

    def __iter__(self) -> Iterator[JournalEntry]:
        """Walk over :attr:`entries`."""
        return iter(self.entries)

    @property
    def last_seq(self) -> int:
        """The number of the newest entry: ``after=cluster.journal.last_seq`` waits for news only."""
        with self._changed:
            return len(self._entries)

    @property
    def ended(self) -> bool:
        """Whether nothing more can come, because no process holds the writing end."""
        with self._changed:
            return self._ended

    def wait_for(
        self,
        event: str | None = None,
        *,
        worker: int | None = None,
        predicate: Callable[[JournalEntry], bool] | None = None,
        timeout: float | None = None,
        after: int = 0,
    ) -> JournalEntry:
        """Return the first entry past number *after* that fits, waiting for it if need be.

        :raises WaitTimeout: none came within *timeout* seconds (default: 10), or none can come any more.
        """
        wanted = Wanted(event, worker, predicate)

        def find(entries: tuple[JournalEntry, ...]) -> JournalEntry | None:
            return next((entry for entry in entries[after:] if wanted.fits(entry)), None)

        expected = f"{wanted}" + (f" after entry #{after}" if after else "")
        return self.wait_until(find, expected=expected, timeout=timeout)

    def note_fault(self, worker: int, pid: int | None, detail: str, *, ends: bool = False) -> JournalEntry:
        """Write that the test does something to the cluster, just before it does; *ends*: it ends that worker."""
        with self._changed:
            number = len(self._entries) + 1
            entry = JournalEntry(number, time.monotonic(), "fault", worker, pid, "", detail=detail, ends=ends)
            self._entries.append(entry)
            self._changed.notify_all()
        return entry

    def wait_until(
        self,
        check: Callable[[tuple[JournalEntry, ...]], T | None],
        *,
        expected: str,
        timeout: float | None = None,
        interrupted: Callable[[], bool] | None = None,
    ) -> T:
        """Return what *check* makes of the entries as soon as it is true; *expected* names it in the error.

        *interrupted* is asked now and then; when it says yes, the wait ends as if its time had passed.
        """
        timeout = scaled(DEFAULT_TIMEOUT) if timeout is None else timeout
        deadline = Deadline(timeout)
        while True:
            # Asked first: what it sees (the server's end) may not hide an entry that came before.
            over = deadline.expired or (interrupted is not None and interrupted())
            with self._changed:
                entries, ended = tuple(self._entries), self._ended
            result = check(entries)
            if result:
                return result
            if ended or over:
                raise timed_out(expected, timeout, [*self.evidence(), *self.diagnose()])
            if len(entries) > MANY_ENTRIES:
                # A flood of messages: whoever looks at all of them for each one keeps the reader from its work.
                time.sleep(min(deadline.remaining, LOOK_SECONDS))
            with self._changed:
                if len(self._entries) == len(entries) and not self._ended:
                    self._changed.wait(min(deadline.remaining, 0.05))

    def evidence(self) -> list[tuple[str, str]]:
        """What a failure should show: the last entries and the end of the server's log."""
        with self._changed:
            entries, ended, problems = self._entries[-LAST_ENTRIES:], self._ended, list(self.problems)
        lines = [str(entry) for entry in entries] or ["(no entry)"]
        if ended:
            lines.append("(the journal has ended: the primary is gone)")
        return [
            ("last journal entries", "\n".join(lines)),
            ("journal lines not understood", "\n".join(problems)),
            ("server log (end)", self._log_tail()),
        ]

    def join(self, timeout: float) -> bool:
        """Wait for the end of the journal; false when some process still holds the writing end."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def __repr__(self) -> str:
        return f"<journal of {self.last_seq} entries{', ended' if self.ended else ''}>"

    def _read(self, fd: int) -> None:
        with os.fdopen(fd, "rb") as stream:
            for line in stream:
                self._add(line)
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _add(self, line: bytes) -> None:
        with self._changed:
            try:
                entry, lost = parse_entry(line, len(self._entries) + 1)
                first = next((one.primary for one in self._entries if one.primary is not None), entry.primary)
                (self._entries if entry.primary == first else self.later).append(entry)
                if lost:
                    self.problems.append(f"{lost} messages before entry #{entry.seq} came too fast to be recorded")
            except ValueError as error:
                self.problems.append(str(error))
            self._changed.notify_all()
