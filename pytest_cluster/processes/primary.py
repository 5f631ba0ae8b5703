"""Read the state of the primary and send it signals; readable after its end."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from ..errors import ProcessGone
from ..journal.entries import last_fault
from ..server.exits import describe_returncode
from ..server.logs import ProcessLog
from ..signals import DEADLY, signal_number
from ..waiting import scaled
from .proxy import ProcessProxy

if TYPE_CHECKING:
    from ..server.server_process import ServerProcess

__all__ = ["PrimaryProxy"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

KILL_SECONDS = 10.0


class PrimaryProxy(ProcessProxy):
    """The primary: gunicorn's arbiter process.

    Attributes:
        end_was_told: the test has been told that it has ended, so that it is the test's to judge.
    """

    def __init__(self, server: ServerProcess) -> None:
        super().__init__(server)
        self.end_was_told: bool = False

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
        """``None`` while it runs, then its exit code, or minus a signal's number; the journal is complete by then."""
        code = self._server.process.poll()
        if code is not None and not self.end_was_told:
            self.end_was_told = True
            self._server.settle()
        return code

    @property
    def logs(self) -> ProcessLog:
        """Its stdout and stderr."""
        return self._server.logs.primary

    def check_alive(self) -> None:
        """Refuse what only a living primary can do."""
        if self.returncode is not None:
            raise ProcessGone(f"the primary (pid {self.pid}) has ended already: {self.describe_end()}")

    def describe_end(self) -> str:
        """Say how it ended, and what the test had done to it last."""
        if self.returncode is None:
            return "it lives"
        text = describe_returncode(self.returncode)
        fault = last_fault([one for one in self._server.journal.entries if one.ends], 0)
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
