"""Wait for calls that are held at a step, and release them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..journal.journal import Journal
from ..options.checks import check_count
from ..waiting import Deadline, scaled, timed_out
from ..wire.records import Hello, Reached

__all__ = ["Arrival", "Gate"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

DEFAULT_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """One call that has come to a step: in which worker, and the step's name."""

    worker: int
    pid: int
    step: str


@dataclass(frozen=True, slots=True)
class _Waiting:
    """One call that waits: in which process, and that process' number for it."""

    pid: int
    arrival: int


class Gate:
    """A step at which workers wait.

    :param step: its name.
    :param release: lets calls go on that wait in the process *pid*, by its numbers for them.
    :param journal: of the cluster, for the evidence of a time-out.
    :param parties: as soon as so many wait, these are let go by themselves; ``None``: :meth:`release` does.
    """

    def __init__(
        self,
        step: str,
        release: Callable[[int, tuple[int, ...]], None],
        journal: Journal,
        parties: int | None = None,
    ) -> None:
        self.step = step
        self._release = release
        self._journal = journal
        self._parties = parties
        self._arrivals: list[Arrival] = []
        self._waiting: list[_Waiting] = []
        self._changed = threading.Condition()

    @property
    def arrivals(self) -> tuple[Arrival, ...]:
        """Everybody who has come here so far, in order."""
        with self._changed:
            return tuple(self._arrivals)

    def wait_reached(self, count: int = 1, timeout: float | None = None) -> tuple[Arrival, ...]:
        """Wait until *count* calls have come here, and return them.

        :raises OptionError: *count* is no number.
        :raises WaitTimeout: fewer did within *timeout* seconds (default: 10).
        """
        check_count("wait_reached(count)", count)
        seconds = scaled(DEFAULT_TIMEOUT) if timeout is None else timeout
        deadline = Deadline(seconds)
        with self._changed:
            if self._changed.wait_for(lambda: len(self._arrivals) >= count, deadline.remaining):
                return tuple(self._arrivals)
            seen = len(self._arrivals)
        expected = f"{count} calls to reach {self.step} ({seen} did)"
        sections = [*self._journal.evidence(), *self._journal.diagnose()]
        raise timed_out(expected, seconds, sections, early=deadline.early_end())

    def release(self) -> None:
        """Let those go on that wait here now; later ones wait again."""
        with self._changed:
            waiting, self._waiting = self._waiting, []
        self._let_go(waiting)

    def reached(self, hello: Hello, reached: Reached) -> None:
        """Note a call that has come here, in the thread that reads, where no process can be asked; for the plugin."""
        with self._changed:
            self._arrivals.append(Arrival(hello.worker or 0, hello.pid, reached.where))
            self._waiting.append(_Waiting(hello.pid, reached.arrival))
            full = self._parties is not None and len(self._waiting) >= self._parties
            together, self._waiting = (self._waiting, []) if full else ([], self._waiting)
            self._changed.notify_all()
        if together:
            threading.Thread(target=self._let_go, args=(together,), name="cluster-barrier", daemon=True).start()

    def _let_go(self, waiting: Sequence[_Waiting]) -> None:
        for pid in dict.fromkeys(one.pid for one in waiting):
            self._release(pid, tuple(one.arrival for one in waiting if one.pid == pid))
