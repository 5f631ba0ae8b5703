"""Read the journal, in which the primary writes all that happens, and wait for its entries.

The primary writes one JSON object per line to a pipe whose number is in ``NODECLUSTER_JOURNAL_FD``.  A daemon thread
reads it to the end, so the primary never waits for a test; everything else here reads the list that the thread fills,
under one condition variable.  A line that is not understood is a defect of the writer, and no reason to lose the rest:
:attr:`Journal.problems` keeps it, and every time-out shows it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from ..waiting import Deadline, scaled, timed_out
from .entries import AnyWorker, JournalEntry, Wanted, parse_entry, worker_id
from .follower import Follower

__all__ = ["Journal"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

T = TypeVar("T")

DEFAULT_TIMEOUT = 10.0
LAST_ENTRIES = 20
MANY_ENTRIES = 2000
FLOOD_PAUSE_SECONDS = 0.1


class Journal:
    """Every event, message and fault of a cluster; filled while it runs, readable after it has ended.

    Attributes:
        problems: lines that were not understood, and gaps: what the reader was too slow for.
        later: what the primaries say that USR2 has started; they number their workers from 1 as well.
        diagnose: asked for more sections whenever a wait has failed.
        unchecked: what was expected by a call of ``expect`` that no ``with`` statement has taken.

    Args:
        fd: the pipe's reading end.
        log_tail: the end of the server's log, for evidence.
        heard: called with each entry that a primary has written, before anybody else sees it: by the reading thread,
            which holds the lock.
    """

    def __init__(
        self, fd: int, *, log_tail: Callable[[], str] = str, heard: Callable[[JournalEntry], None] = lambda _: None
    ) -> None:
        self.problems: list[str] = []
        self.later: list[JournalEntry] = []
        self.diagnose: Callable[[], list[tuple[str, str]]] = list
        self.unchecked: dict[int, str] = {}
        self._entries: list[JournalEntry] = []
        self._changed = threading.Condition()
        self._ended = False
        self._news: Callable[[], None] = lambda: None
        self._log_tail = log_tail
        self._heard = heard
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
        worker: int | AnyWorker | None = None,
        predicate: Callable[[JournalEntry], bool] | None = None,
        timeout: float | None = None,
        after: int = 0,
    ) -> JournalEntry:
        """Return the first entry past number *after* that fits, waiting for it if need be.

        :raises WaitTimeout: none came within *timeout* seconds (default: 10), or none can come any more.
        """
        wanted = Wanted(event, worker_id(worker), predicate)

        def find(entries: tuple[JournalEntry, ...]) -> JournalEntry | None:
            return next((entry for entry in entries[after:] if wanted.fits(entry)), None)

        expected = f"{wanted}" + (f" after entry #{after}" if after else "")
        return self.wait_until(find, expected=expected, timeout=timeout)

    def note_fault(
        self,
        worker: int,
        pid: int | None,
        detail: str,
        *,
        ends: bool = False,
        harmless: bool = False,
        everywhere: bool = False,
        lasts: bool = False,
        end_of: int | None = None,
    ) -> JournalEntry:
        """Write that the test does something to the cluster, just before it does; see :class:`JournalEntry`."""
        with self._changed:
            entry = JournalEntry(
                seq=len(self._entries) + 1,
                time=time.monotonic(),
                event="fault",
                worker=worker,
                pid=pid,
                state="",
                detail=detail,
                ends=ends,
                harmless=harmless,
                everywhere=everywhere,
                lasts=lasts,
                end_of=end_of,
            )
            self._entries.append(entry)
            self._changed.notify_all()
        self._news()
        return entry

    def wait_until(
        self,
        check: Callable[[tuple[JournalEntry, ...]], T | None],
        *,
        expected: str,
        timeout: float | None = None,
        interrupted: Callable[[], bool] | None = None,
        seen: Callable[[], str] | None = None,
    ) -> T:
        """Return what *check* makes of the entries as soon as it is true; *expected* names it in the error.

        *interrupted* is asked now and then; when it says yes, the wait ends as if its time had passed; *seen* says
        in the error what has come of it.
        """
        timeout = scaled(DEFAULT_TIMEOUT) if timeout is None else timeout
        deadline = Deadline(timeout)
        while True:
            # Asked before the entries are read: the server's end must not hide an entry that came before it.
            over = deadline.expired or (interrupted is not None and interrupted())
            with self._changed:
                entries, ended = tuple(self._entries), self._ended
            result = check(entries)
            if result:
                return result
            if ended or over:
                told = [seen() if seen is not None else "", deadline.early_end("the server had ended")]
                sections = [*self.evidence(), *self.diagnose()]
                raise timed_out(expected, timeout, sections, early="; ".join(filter(None, told)))
            self._wait_for_news(len(entries), deadline)

    def follow(self, tell: Callable[[JournalEntry], None]) -> None:
        """Call *tell* with each entry so far and with each that comes, once and in order, on the thread that adds it.

        It must raise nothing: that would end the reading.
        """
        self._news = Follower(self._after, tell).deliver
        self._news()

    def _after(self, seq: int) -> list[JournalEntry]:
        with self._changed:
            return self._entries[seq:]

    def evidence(self) -> list[tuple[str, str]]:
        """Return the sections that a failure shows: the last entries and the end of the server's log."""
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
        """Wait for the end of the journal; false while some process holds the writing end, and in its own thread."""
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def __repr__(self) -> str:
        return f"<journal of {self.last_seq} entries{', ended' if self.ended else ''}>"

    def _wait_for_news(self, known: int, deadline: Deadline) -> None:
        """Wait a moment, at most until there are more than *known* entries."""
        if known > MANY_ENTRIES:
            # A flood of messages: whoever reads all of them for each one keeps the reading thread from its work.
            time.sleep(min(deadline.remaining, FLOOD_PAUSE_SECONDS))
        with self._changed:
            if len(self._entries) == known and not self._ended:
                self._changed.wait(min(deadline.remaining, 0.05))

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
                self._heard(entry)
                first = next((one.primary for one in self._entries if one.primary is not None), entry.primary)
                (self._entries if entry.primary == first else self.later).append(entry)
                if lost:
                    self.problems.append(f"{lost} messages before entry #{entry.seq} came too fast to be recorded")
            except ValueError as error:
                self.problems.append(str(error))
            self._changed.notify_all()
        self._news()
