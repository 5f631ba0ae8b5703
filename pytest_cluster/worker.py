"""The processes of a cluster as a test sees them; readable after their end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from .errors import ClusterError, ProcessGone, WaitTimeout
from .exits import describe_exit, describe_returncode
from .journal import LIFECYCLE, JournalEntry
from .launcher import ServerProcess
from .leaks import is_running
from .logs import ProcessLog
from .options import signal_number
from .remote import function_record, value_of
from .tallies import Tally
from .waiting import evidence, scaled

__all__ = ["PrimaryProxy", "WorkerProxy"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

T = TypeVar("T")

KILL_SECONDS = 10.0
CALL_SECONDS = 10.0

DEADLY = frozenset(
    {
        signal.SIGABRT, signal.SIGBUS, signal.SIGINT, signal.SIGKILL, signal.SIGQUIT, signal.SIGSEGV, signal.SIGTERM,
    }
)  # fmt: skip
"""Signals that end a worker, at once or as soon as it has finished."""


HARMLESS = ("slow", "fail_next", "hold")
"""Faults, as the journal calls them, that do not explain the end of a process."""

END_OF = "end of "
"""Begins the entry that says that a fault lasts no more."""


class _Process:
    """What a test can ask of any process of the cluster."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server

    @property
    def pid(self) -> int:
        raise NotImplementedError

    @property
    def title(self) -> str:
        """What messages call it."""
        raise NotImplementedError

    def run(self, function: Callable[..., T] | str, *args: Any, timeout: float | None = None, **kwargs: Any) -> T:
        """Call *function* in that process and return what it returns.

        In a worker it runs beside the requests, in a greenlet of its own; in the primary between two events, and
        while it runs no connection is dealt.

        :param function: importable there by its name, or at the top level of the test's file; with ``cloudpickle``
            installed, any function.
        :param timeout: seconds to wait for it (default: 10).
        :raises NotImportable: the process cannot find *function*.
        :raises WaitTimeout: it took longer; the stacks of the process are in the message.
        :raises ProcessGone: the process has ended, or ended meanwhile.
        :raises RemoteError: its result, or its exception, cannot be brought over.
        :raises Exception: what *function* has raised, with the traceback from there as its cause.
        """
        record = function_record(function)
        where = f"{record.module}.{record.name} in {self.title}"
        result: T = value_of(self._outcome("run", (record, args, kwargs), timeout), where)
        return result

    def stacks(self) -> str:
        """What each thread and each greenlet of the process is doing, however stuck it is."""
        return next((text for title, text in self._server.stacks() if f"(pid {self.pid})" in title), "(no answer)")

    def ask(self, operation: str, arguments: Any = None, timeout: float | None = None) -> Any:
        """Ask the agent in that process; for the plugin's own use."""
        return value_of(self._outcome(operation, arguments, timeout), f"{operation} in {self.title}")

    def check_alive(self) -> None:
        """Refuse what only a living process can do.

        :raises ProcessGone: it has ended; the sentence says how.
        """
        raise NotImplementedError

    def _outcome(self, operation: str, arguments: Any, timeout: float | None) -> Any:
        self.check_alive()
        seconds = scaled(CALL_SECONDS) if timeout is None else timeout
        try:
            return self._server.control.call(self.pid, operation, arguments, timeout=seconds)
        except WaitTimeout as error:
            raise WaitTimeout(evidence(f"{self.title}: {error}", self._server.stacks())) from None
        except ProcessGone as error:
            raise ProcessGone(f"{self.title}: {error}") from None


class WorkerProxy(_Process):
    """One worker: what the journal says about it, and ways to reach it.

    Attributes:
        id: from 1, never used again.
    """

    def __init__(self, server: ServerProcess, worker_id: int) -> None:
        super().__init__(server)
        self._journal = server.journal
        self.id = worker_id

    @property
    def pid(self) -> int:
        """The process id, which stays readable after its end."""
        for entry in self._story():
            if entry.pid is not None:
                return entry.pid
        raise ClusterError(f"the journal does not know the pid of worker {self.id}")

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"worker {self.id}"

    @property
    def state(self) -> str:
        """One of ``none``, ``online``, ``listening``, ``disconnected``, ``dead``."""
        return "dead" if self.is_dead() else self._story()[0].state

    @property
    def exit_code(self) -> int | None:
        """The exit code; ``None`` while it runs and after a signal."""
        entry = self._latest("exit")
        return None if entry is None else entry.code

    @property
    def exit_signal(self) -> str | None:
        """The name of the signal that ended it, or ``None``."""
        entry = self._latest("exit")
        return None if entry is None else entry.signal

    @property
    def exited_after_disconnect(self) -> bool | None:
        """Whether its end was asked for; ``None`` while nothing has ended."""
        entry = self._latest("exit", "disconnect")
        return None if entry is None else entry.exited_after_disconnect

    @property
    def tally(self) -> Tally:
        """The requests that its application was given, and has answered."""
        return self._server.tallies.of(self.id)

    @property
    def requests_served(self) -> int:
        """How many requests its application has answered; counted by the worker itself, readable after its death."""
        return self._server.tallies.settled(self.id).served

    @property
    def logs(self) -> ProcessLog:
        """Its stdout and stderr: ``logs.text``, ``logs.tail(50)``, ``logs.since_test_start()``."""
        return self._server.logs.worker(self.id, self.pid)

    def is_dead(self) -> bool:
        """Whether its process has ended; once the primary has, nobody is left to say so but the system."""
        return self._latest("exit") is not None or (self._journal.ended and not is_running(self.pid))

    def check_alive(self) -> None:
        """Refuse what only a living worker can do."""
        if self.is_dead():
            raise ProcessGone(f"{self.title} (pid {self.pid}) is dead already: {self.describe_end()}")

    def is_ending(self) -> bool:
        """Whether it will be dead in a moment: the test has ended it, or its process is gone, and the journal lags."""
        if self.is_dead():
            return False
        doomed = any(entry.ends and entry.worker == self.id for entry in self._journal.entries)
        return doomed or self.state == "disconnected" or not is_running(self.pid)

    def describe_end(self) -> str:
        """How it ended, in words; whether the test did it."""
        entry = self._latest("exit")
        if entry is None:
            return "nobody was left to see how: the primary had ended" if self.is_dead() else "it lives"
        fault = _last_fault(self._journal.entries[: entry.seq], self.id)
        if fault is None:
            return describe_exit(entry.code, entry.signal)
        return f"{entry.signal or f'exit code {entry.code}'} (injected: {fault.detail})"

    def send(self, message: Any) -> bool:
        """Let the primary send it a message, as ``cluster.workers[id].send(message)`` does there."""
        self.check_alive()
        taken: bool = self._primary().ask("send", (self.id, message))
        return taken

    def disconnect(self) -> None:
        """Let the primary disconnect it: it finishes what it has, then ends, and a successor comes."""
        self.check_alive()
        self._note("disconnect", ends=True)
        self._primary().ask("disconnect_worker", (self.id,))

    def stop(self) -> None:
        """Send it SIGTERM: a graceful end, that nobody in the cluster asked for."""
        self.kill(signal.SIGTERM)

    def kill(self, which: int | str = signal.SIGKILL) -> None:
        """Send it a signal from outside, as ``kill`` in a terminal does."""
        self.check_alive()
        number = signal_number(which)
        self._note(number.name, ends=number in DEADLY)
        os.kill(self.pid, number)

    def _primary(self) -> PrimaryProxy:
        return PrimaryProxy(self._server)

    def _note(self, detail: str, *, ends: bool) -> None:
        self._journal.note_fault(self.id, self.pid, f"{detail} to {self.title}", ends=ends)

    def _story(self) -> list[JournalEntry]:
        """What the journal has on it, newest first."""
        story = [entry for entry in reversed(self._journal.entries) if entry.worker == self.id]
        story = [entry for entry in story if entry.event in LIFECYCLE]
        if not story:
            raise ClusterError(f"the journal has no worker {self.id}")
        return story

    def _latest(self, *events: str) -> JournalEntry | None:
        return next((entry for entry in self._story() if entry.event in events), None)

    def __repr__(self) -> str:
        return f"<worker {self.id} pid={self.pid} {self.state}>"


class PrimaryProxy(_Process):
    """The primary: gunicorn's arbiter process."""

    @property
    def pid(self) -> int:
        """The process id, which stays readable after its end."""
        return self._server.pid

    @property
    def title(self) -> str:
        """What messages call it."""
        return "the primary"

    @property
    def returncode(self) -> int | None:
        """``None`` while it runs, then its exit code, or minus a signal's number."""
        return self._server.process.poll()

    @property
    def logs(self) -> ProcessLog:
        """Its stdout and stderr."""
        return self._server.logs.primary

    def check_alive(self) -> None:
        """Refuse what only a living primary can do."""
        if self.returncode is not None:
            raise ProcessGone(f"the primary (pid {self.pid}) has ended already: {self.describe_end()}")

    def describe_end(self) -> str:
        """How it ended, in words, and what the test had done to it last."""
        if self.returncode is None:
            return "it lives"
        text = describe_returncode(self.returncode)
        fault = _last_fault([one for one in self._server.journal.entries if one.ends], 0)
        return text if fault is None else f"{text} (injected: {fault.detail})"

    def status(self) -> dict[str, Any]:
        """``cluster.status`` there, as a mapping; empty for a script."""
        status: dict[str, Any] = self.ask("status")
        return status

    def signal(self, which: int | str) -> None:
        """Send it a signal: ``primary.signal("SIGHUP")``."""
        self.check_alive()
        number = signal_number(which)
        self._server.journal.note_fault(0, self.pid, f"{number.name} to the primary", ends=number in DEADLY)
        self._server.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        self.check_alive()
        self._server.journal.note_fault(0, self.pid, "SIGKILL to the primary", ends=True)
        self._server.stop(signal.SIGKILL, scaled(KILL_SECONDS))

    def __repr__(self) -> str:
        return f"<primary pid={self.pid}>"


def _last_fault(entries: Sequence[JournalEntry], worker: int) -> JournalEntry | None:
    """The newest fault that explains the end of *worker*, if the test has injected one that still lasted."""
    over: list[str] = []
    for entry in reversed(entries):
        if entry.event != "fault" or entry.worker != worker or entry.detail.startswith(HARMLESS):
            continue
        if entry.detail.startswith(END_OF):
            over.append(entry.detail.removeprefix(END_OF))
        elif entry.detail in over:
            over.remove(entry.detail)
        else:
            return entry
    return None
