"""Read the state of a worker, send it messages and signals; readable after its end."""

from __future__ import annotations

import os
import signal

from ..errors import ClusterError, ProcessGone
from ..journal.entries import LIFECYCLE, JournalEntry, last_fault, lasting
from ..server.exits import describe_exit, why_ended
from ..server.leaks import is_running
from ..server.logs import ProcessLog
from ..server.server_process import ServerProcess
from ..signals import DEADLY, signal_number
from ..values import Message
from ..wire.tallies import Tally
from .primary import PrimaryProxy
from .proxy import ProcessProxy

__all__ = ["WorkerProxy"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all


class WorkerProxy(ProcessProxy):
    """One worker: its state, as the journal has it, and ways to reach it.

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
        pid = self._told_pid()
        if pid is not None:
            return pid
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
    def requests_in_flight(self) -> int:
        """How many requests its application has; one whose answer the test has read is none, though not counted yet."""
        return self._server.tallies.settled(self.id).in_flight

    @property
    def logs(self) -> ProcessLog:
        """Its stdout and stderr: ``logs.text``, ``logs.tail(50)``, ``logs.since_test_start()``."""
        return self._server.logs.worker(self.id, self.pid)

    def _told_pid(self) -> int | None:
        return next((entry.pid for entry in self._story() if entry.pid is not None), None)

    def is_dead(self) -> bool:
        """Whether its process has ended; once the primary has, nobody is left to say so but the system.

        A worker that was announced, and has not been forked by then, never will be.
        """
        if self._latest("exit") is not None or not self._journal.ended:
            return self._latest("exit") is not None
        pid = self._told_pid()
        return pid is None or not is_running(pid)

    def check_alive(self) -> None:
        """Refuse what only a living worker can do."""
        if self.is_dead():
            raise ProcessGone(f"{self.title} (pid {self.pid}) is dead already: {self.describe_end()}")

    def is_ending(self) -> bool:
        """Whether it will be dead in a moment: the test has ended it, or its process is gone, and the journal lags."""
        if self.is_dead():
            return False
        doomed = any(entry.ends and entry.worker == self.id for entry in lasting(self._journal.entries))
        return doomed or self.state == "disconnected" or not is_running(self.pid)

    def describe_end(self) -> str:
        """Say how it ended, and whether the test did it."""
        entry = self._latest("exit")
        if entry is None:
            return "nobody was left to see how: the primary had ended" if self.is_dead() else "it lives"
        fault = last_fault(self._journal.entries[: entry.seq], self.id)
        if fault is None:
            return describe_exit(
                entry.code, entry.signal, why_ended(self._server.logs.primary.text, self.pid, self._server.timeout)
            )
        return f"{entry.signal or f'exit code {entry.code}'} (injected: {fault.detail})"

    def send(self, message: Message) -> bool:
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
        """Send it a signal from outside, as ``kill`` in a terminal does.

        :raises ProcessGone: it has ended already.
        :raises OptionError: there is no such signal.
        """
        self.check_alive()
        number = signal_number(which)
        entry = self._note(number.name, ends=number in DEADLY)
        try:
            with self.reached():
                os.kill(self.pid, number)
        except ProcessGone:  # its end has another reason
            self._journal.note_fault(self.id, self.pid, f"{entry.detail}: too late", harmless=True, end_of=entry.seq)
            raise

    def _primary(self) -> PrimaryProxy:
        return PrimaryProxy(self._server)

    def _note(self, detail: str, *, ends: bool) -> JournalEntry:
        return self._journal.note_fault(self.id, self.pid, f"{detail} to {self.title}", ends=ends)

    def _story(self) -> list[JournalEntry]:
        """Return its entries in the journal, newest first."""
        story = [entry for entry in reversed(self._journal.entries) if entry.worker == self.id]
        story = [entry for entry in story if entry.event in LIFECYCLE]
        if not story:
            raise ClusterError(f"the journal has no worker {self.id}")
        return story

    def _latest(self, *events: str) -> JournalEntry | None:
        return next((entry for entry in self._story() if entry.event in events), None)

    def __eq__(self, other: object) -> bool:
        """Whether it is the same worker of the same cluster: ``cluster.workers`` makes new objects each time."""
        if not isinstance(other, WorkerProxy):
            return NotImplemented
        return (self._server, self.id) == (other._server, other.id)

    def __hash__(self) -> int:
        return hash((id(self._server), self.id))

    def __repr__(self) -> str:
        return f"<worker {self.id} pid={self.pid} {self.state}>"
