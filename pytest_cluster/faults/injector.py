"""Note each fault in the journal before it happens, and undo what lasts."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable, Iterator

from ..errors import FaultError, OptionError
from ..journal.entries import JournalEntry
from ..options.cluster_options import ClusterOptions
from ..processes.primary import PrimaryProxy
from ..processes.worker import WorkerProxy
from ..server.server_process import ServerProcess
from .undo_stack import UndoStack

__all__ = ["Injector", "Target", "check_target", "pickled"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

Target = WorkerProxy | PrimaryProxy


class Injector:
    """The base of the classes that inject faults.

    Attributes:
        injected: how many there were so far.
    """

    def __init__(self, server: ServerProcess, options: ClusterOptions) -> None:
        self._server = server
        self._options = options
        self._undo_stack = UndoStack()
        self.injected: int = 0

    def _count(self) -> None:
        """Count a fault; here alone, so that type checkers see one definition."""
        self.injected += 1

    def undo(self) -> None:
        """End everything that still lasts.  The fixture does this."""
        self._undo_stack.all()

    def __repr__(self) -> str:
        return f"<faults of the cluster of {self._options.target}: {self.injected} injected>"

    @contextlib.contextmanager
    def _lasting(self, target: Target, what: str, undo: Callable[[], None]) -> Iterator[None]:
        """Let something last in one process for the time of a block."""
        entry = self._note(target, what, lasts=True)

        def end() -> None:
            undo()
            self._note_end(entry)

        with self._undo_stack.after(end):
            yield

    def _note(self, target: Target, what: str, *, ends: bool = False, lasts: bool = False) -> JournalEntry:
        self._count()
        worker = target.id if isinstance(target, WorkerProxy) else 0
        detail = f"{what} {target.title}"
        return self._server.journal.note_fault(worker, target.pid, detail, ends=ends, lasts=lasts)

    def _note_end(self, entry: JournalEntry) -> None:
        if entry.lasts or not entry.harmless:
            self._server.journal.note_fault(
                entry.worker, entry.pid, f"end of {entry.detail}", harmless=True, end_of=entry.seq
            )


def check_target(target: object) -> None:
    """Refuse what is no process of a cluster.

    :raises OptionError: the sentence says what is.
    """
    if not isinstance(target, WorkerProxy | PrimaryProxy):
        raise OptionError(f"expected a worker (cluster.worker(1)) or cluster.primary, got {target!r:.100}")


def pickled(value: object, what: str) -> bytes:
    """Return the pickle of what a worker is to get; *what* names it in the error.

    :raises FaultError: it has none.
    """
    try:
        return pickle.dumps(value)
    except Exception as error:
        raise FaultError(f"{what} {value!r:.200} cannot be sent to a worker: {error}") from error
