"""The processes of a cluster as a test sees them; readable after their end."""

from __future__ import annotations

import os
import signal

from .errors import ClusterError
from .journal import Journal, JournalEntry
from .launcher import ServerProcess
from .options import signal_number

__all__ = ["PrimaryProxy", "WorkerProxy"]

KILL_SECONDS = 10.0


class WorkerProxy:
    """One worker: a view on what the journal says about it, and a way to send it signals."""

    def __init__(self, journal: Journal, worker_id: int) -> None:
        self._journal = journal
        self.id = worker_id

    @property
    def pid(self) -> int:
        """The process id, which stays readable after its end."""
        for entry in self._story():
            if entry.pid is not None:
                return entry.pid
        raise ClusterError(f"the journal does not know the pid of worker {self.id}")

    @property
    def state(self) -> str:
        """One of ``none``, ``online``, ``listening``, ``disconnected``, ``dead``."""
        return self._story()[0].state

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

    def is_dead(self) -> bool:
        """Whether its process has ended."""
        return self._latest("exit") is not None

    def kill(self, which: int | str = signal.SIGKILL) -> None:
        """Send it a signal from outside, as ``kill`` in a terminal does."""
        if self.is_dead():
            raise ClusterError(f"{self!r} is dead already")
        os.kill(self.pid, signal_number(which))

    def _story(self) -> list[JournalEntry]:
        """What the journal has on it, newest first."""
        story = [entry for entry in reversed(self._journal.entries) if entry.worker == self.id]
        if not story:
            raise ClusterError(f"the journal has no worker {self.id}")
        return story

    def _latest(self, *events: str) -> JournalEntry | None:
        return next((entry for entry in self._story() if entry.event in events), None)

    def __repr__(self) -> str:
        return f"<worker {self.id} pid={self.pid} {self.state}>"


class PrimaryProxy:
    """The primary: gunicorn's arbiter process."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server

    @property
    def pid(self) -> int:
        """The process id, which stays readable after its end."""
        return self._server.pid

    @property
    def returncode(self) -> int | None:
        """``None`` while it runs, then its exit code, or minus a signal's number."""
        return self._server.process.poll()

    def signal(self, which: int | str) -> None:
        """Send it a signal: ``primary.signal("SIGHUP")``."""
        if self.returncode is not None:
            raise ClusterError(f"{self!r} has ended already")
        self._server.process.send_signal(signal_number(which))

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        if self.returncode is not None:
            raise ClusterError(f"{self!r} has ended already")
        self._server.stop(signal.SIGKILL, KILL_SECONDS)

    def __repr__(self) -> str:
        return f"<primary pid={self.pid}>"
