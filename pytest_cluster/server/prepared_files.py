"""Make what must be there before a server: configuration, counts in shared memory, control socket, journal."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from ..journal.entries import JournalEntry
from ..journal.journal import Journal
from ..wire.control import Control
from ..wire.files import control_path, tallies_path
from ..wire.records import Hello, Reached
from ..wire.tallies import Tallies
from .folder import no_folder

__all__ = ["PreparedFiles"]

JOURNAL_SECONDS = 1.0


class PreparedFiles:
    """Files in a server's folder, and the ends of its sockets and pipes; all of it, or nothing.

    Attributes:
        conf_path: the configuration.
        control: the connections to its processes.
        journal: what its primary writes.
        journal_end: the end of the journal that it writes to, closed here once it has it.

    :param source: the configuration.
    :param log_tail: the end of its log, for evidence.
    :param heard: called with each entry of the journal.
    :param reached: called, in a thread, when a step that is held was reached.
    :raises StartError: there is no place on the disk.
    """

    def __init__(
        self,
        folder: str,
        source: str,
        *,
        log_tail: Callable[[], str],
        heard: Callable[[JournalEntry], None],
        reached: Callable[[Hello, Reached], None],
    ) -> None:
        self.conf_path: str = os.path.join(folder, "gunicorn.conf.py")
        with contextlib.ExitStack() as made:
            try:
                self.tallies: Tallies = Tallies(tallies_path(folder))
                made.callback(self.tallies.keep)
                self.control: Control = Control(control_path(folder), reached)
                made.callback(self.control.close)
                with open(self.conf_path, "w", encoding="utf-8") as conf:
                    conf.write(source)
            except OSError as error:
                raise no_folder(error) from None
            reading, writing = os.pipe()
            self.journal_end = made.enter_context(open(writing, "wb", buffering=0))
            made.callback(os.close, reading)
            self.journal: Journal = Journal(reading, log_tail=log_tail, heard=heard)
            made.pop_all()

    def release(self) -> None:
        """Let go of all of it, of a server that did not start."""
        self.journal_end.close()
        self.journal.join(JOURNAL_SECONDS)
        self.tallies.keep()
        self.control.close()
