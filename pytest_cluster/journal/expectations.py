"""Expect events: said before the action and checked after it, so that nothing happens unseen in between.

::

    with cluster.expect("exit", worker=first) as event:
        first.kill()
    assert event.signal == "SIGKILL"
"""

from __future__ import annotations

import time
from types import TracebackType

from ..errors import ClusterError, WaitTimeout
from ..values import Message
from ..waiting import Deadline, evidence, scaled, timed_out
from .entries import JournalEntry, Wanted
from .journal import Journal

__all__ = ["Expectation"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

DEFAULT_TIMEOUT = 10.0
QUIET_SECONDS = 0.25


class Expectation:
    """What must happen, or must not, between the beginning of a block and *timeout* seconds after its end.

    :param journal: where it will be seen.
    :param wanted: what counts.
    :param timeout: seconds to wait after the block (default 10); with *none*, how long nothing may happen (default
        0.25).
    :param count: at least so many.
    :param exactly: so many and, for a quarter of a second more, no further one.
    :param none: not one.
    :raises ValueError: these numbers cannot be.
    """

    def __init__(
        self,
        journal: Journal,
        wanted: Wanted,
        *,
        timeout: float | None = None,
        count: int = 1,
        exactly: int | None = None,
        none: bool = False,
    ) -> None:
        _check_numbers(timeout, count, exactly, none=none)
        self._journal = journal
        self._wanted = wanted
        self._exactly = 0 if none else exactly
        self._count = count if self._exactly is None else self._exactly
        self._timeout = timeout
        self._start = journal.last_seq
        journal.unchecked[id(self)] = str(wanted)

    @property
    def entries(self) -> list[JournalEntry]:
        """All that has happened of it so far, in order."""
        self._journal.unchecked.pop(id(self), None)
        return self._seen()

    @property
    def value(self) -> JournalEntry:
        """The first of them.

        :raises ClusterError: there is none yet; read it after the block.
        """
        seen = self.entries
        if not seen:
            raise ClusterError(f"no {self._wanted} yet: read it after the with block")
        return seen[0]

    @property
    def code(self) -> int | None:
        """Of an ``exit``: the exit code."""
        return self.value.code

    @property
    def signal(self) -> str | None:
        """Of an ``exit``: the signal's name."""
        return self.value.signal

    @property
    def worker(self) -> int:
        """The id of the worker that it happened to."""
        return self.value.worker

    @property
    def pid(self) -> int | None:
        """That worker's pid."""
        return self.value.pid

    @property
    def message(self) -> Message:
        """Of a ``message``: the message."""
        return self.value.message

    def __enter__(self) -> Expectation:
        self._start = self._journal.last_seq
        self._journal.unchecked.pop(id(self), None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._keep()

    def __repr__(self) -> str:
        seen = len(self._seen())
        return f"<expectation of {self._said()}: {seen or 'none'} so far>"

    def _seen(self) -> list[JournalEntry]:
        return [entry for entry in self._journal.entries[self._start :] if self._wanted.fits(entry)]

    def _said(self) -> str:
        if self._exactly is None:
            return f"{self._count} x {self._wanted} (since entry #{self._start})"
        number = f"exactly {self._exactly} x" if self._exactly else "no"
        return f"{number} {self._wanted} (since entry #{self._start})"

    def _keep(self) -> None:
        if self._count:
            self._wait_for_enough()
        if self._exactly is not None:
            self._watch_for_more(self._exactly)

    def _wait_for_enough(self) -> None:
        timeout = scaled(DEFAULT_TIMEOUT) if self._timeout is None else self._timeout
        self._journal.wait_until(
            lambda _: len(self.entries) >= self._count,
            expected=self._said(),
            timeout=timeout,
            seen=lambda: f"{len(self.entries)} came" if self._count > 1 else "",
        )

    def _watch_for_more(self, most: int) -> None:
        seconds = scaled(QUIET_SECONDS)
        if not most and self._timeout is not None:
            seconds = self._timeout
        deadline = Deadline(seconds)
        while len(self.entries) <= most and not deadline.expired and not self._journal.ended:
            time.sleep(min(0.01, deadline.remaining))
        seen, early = self.entries, deadline.early_end()
        if len(seen) <= most and not early:
            return
        sections = [("what happened instead", "\n".join(map(str, seen))), *self._journal.evidence()]
        if len(seen) > most:
            raise WaitTimeout(evidence(f"expected {self._said()}, and {len(seen)} came", sections))
        # A watch that was cut short cannot say that nothing came.
        raise timed_out(self._said(), seconds, sections, early=early)


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and value >= 0


def _check_numbers(timeout: float | None, count: int, exactly: int | None, *, none: bool) -> None:
    if none and exactly is not None:
        raise ValueError("expected either exactly= or none=True, got both")
    if not _is_count(count, 1):
        raise ValueError(f"expected count= to be 1 or more, got {count!r:.100}: none=True says that it must not happen")
    if exactly is not None and not _is_count(exactly, 0):
        raise ValueError(f"expected exactly= to be 0 or more, got {exactly!r:.100}")
    if timeout is not None and not _is_time(timeout):
        raise ValueError(f"expected timeout= to be a number of seconds, 0 or more, got {timeout!r:.100}")


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
