"""Prepare a server process, start it in a session of its own, stop it, and leave nothing behind.

Between the first two steps nothing runs, and a test may already inject faults.

Tests with servers that misbehave hold it to these promises:

- The output goes to files.  A pipe that nobody reads would stop the server, and an inherited descriptor would end up in
  whichever capture phase of pytest is active.
- Only the journal's writing end is handed down.  The reading end and the folder are released on every way out.
- Stopping takes up to three steps: the signal, a bounded wait, SIGKILL for the session.  No process of the session is
  left afterwards, and it is an error if something had to be killed.
- The server is guarded before it exists: it ends with pytest, whatever ends pytest (see ``guard``).
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator

from ..errors import LeakError, OptionError, StartError, StopError
from ..journal.journal import Journal
from ..options.cluster_options import ClusterOptions
from ..waiting import evidence, scaled
from ..wire.control import Control
from ..wire.files import server_log_path
from ..wire.records import CONTROL_VARIABLE, TOKEN_VARIABLE, Hello, Reached
from ..wire.tallies import Tallies
from .command import command_of, environment_of, imports_of, searched
from .conf import DEFAULT_BIND, conf_source
from .detour import Detour
from .exits import describe_returncode
from .folder import make_folder
from .guard import guard
from .leaks import TAG_VARIABLE, kill_cluster, wait_cluster_empty
from .logs import LogFolder
from .prepared_files import PreparedFiles
from .quick_end import end_quickly
from .socket_files import SocketFiles
from .spawning import Process, spawn
from .stacks import StackTaker

__all__ = ["ServerProcess"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

JOURNAL_VARIABLE = "NODECLUSTER_JOURNAL_FD"

# Workers end by themselves at once when their primary is gone; on a busy machine "at once" takes a while.
ORPHAN_SECONDS = 3.0
JOURNAL_SECONDS = 1.0
ENDING_SECONDS = 5.0


class ServerProcess:
    """The server of one cluster, from before its start to the moment when nothing of it is left.

    Attributes:
        bind: what it was told to bind.
        pythonpath: the folders that its application is imported from, between commas.
        folder: everything of it that is on disk; short, because the path of a unix socket may have 107 bytes.
        control: the connections to its processes.
        reached: called, in a thread, when a step that is held was reached.
        detour: how clients get to it.

    :raises OptionError: it cannot be as it is asked for.
    :raises StartError: it has no place on the disk.
    """

    def __init__(self, options: ClusterOptions, *, pythonpath: str, bind: str = DEFAULT_BIND) -> None:
        if not options.app and not options.script:
            raise OptionError("cluster: which application? Say app='package.module:app' or use --cluster-app")
        source = conf_source(options, pythonpath=pythonpath, bind=bind)
        self.bind = bind
        self.folder: str = make_folder()
        self._stack_taker = StackTaker(self.folder)
        self.log_path: str = server_log_path(self.folder)
        self.tag: str = secrets.token_hex(16)
        self.logs: LogFolder = LogFolder(self.folder)
        self.reached: Callable[[Hello, Reached], None] | None = None
        self.detour: Detour = Detour()
        self._options = options
        self.pythonpath = pythonpath
        self._socket_files = SocketFiles(self.tag, options.cwd or self.folder)
        self._process: Process | None = None
        self._files: PreparedFiles | None = None
        with self._undone_on_error():
            guard.announce(self.tag, self.folder)
            self._prepare(source)

    def _prepare(self, source: str) -> None:
        files = PreparedFiles(
            self.folder, source, log_tail=self.log_tail, heard=self._socket_files.note, reached=self._tell_reached
        )
        self._files, self._journal_end = files, files.journal_end
        self.tallies: Tallies = files.tallies
        self.control: Control = files.control
        self.journal: Journal = files.journal
        self._command = command_of(self._options, files.conf_path)

    def start(self) -> None:
        """Start the process, which then is not ready yet; once only."""
        with self._undone_on_error():
            for file in self._options.socket_files:
                self._socket_files.add(file)  # bound long before anybody listens there
            self._spawn()

    @property
    def process(self) -> Process:
        """The primary, once it is started."""
        assert self._process is not None
        return self._process

    @property
    def pid(self) -> int:
        """The primary's pid, which is its session's number as well."""
        return self.process.pid

    @property
    def timeout(self) -> object:
        """Gunicorn's setting ``timeout``, if the test has set it."""
        return self._options.settings.get("timeout")

    @property
    def log(self) -> str:
        """All that the server has written, the primary's part first; the last state of it after the end."""
        return self.logs.everything

    def log_tail(self) -> str:
        """Return the ends of two logs, short enough for a message: the primary's, and the worker's that ended last.

        Of workers that all live it is the youngest's.
        """
        return self.logs.tail([entry.worker for entry in self.journal.entries if entry.event == "exit"])

    def ended(self) -> bool:
        """Whether the primary has ended."""
        return self.process.poll() is not None

    def settle(self, *, is_ending: bool = False) -> bool:
        """Return whether the primary has ended; give it and its journal, if one of them has, a moment to end both.

        :param is_ending: it is about to end by itself, which takes a while where others are busy.
        """
        if self.journal.ended or is_ending:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(scaled(ENDING_SECONDS) if is_ending else JOURNAL_SECONDS)
        if self.ended() and self._options.has_journal and not self.journal.ended:
            self.journal.join(JOURNAL_SECONDS)
        return self.ended()

    def stacks(self) -> list[tuple[str, str]]:
        """Return the stacks of every process of the cluster, one titled section each."""
        known = {one.pid for one in self.control.hellos}
        texts = self._stack_taker.take([pid for pid in self.control.pids() if pid in known])
        roles = {one.pid: one.worker for one in self.control.hellos}
        titles = {pid: f"worker {roles[pid]}" if roles[pid] is not None else "primary" for pid in texts}
        return [(f"stacks of {titles[pid]} (pid {pid})", text) for pid, text in sorted(texts.items())]

    def start_error(self, cause: str) -> StartError:
        """Return the error that says why the cluster did not start, with everything that may explain it."""
        code = self.process.poll()
        sections = self.journal.evidence()
        if code is not None:
            cause += f"; the server ended with {describe_returncode(code)}"
        else:
            sections += self.stacks()
        return StartError(evidence(cause, sections), self)

    def stop(self, how: signal.Signals, timeout: float) -> int:
        """Ask the primary to end with signal *how* and wait for it, and for the end of the journal.

        :raises StopError: it still ran after *timeout* seconds; the session has been killed.
        """
        self.process.send_signal(how)
        return self.wait_ended(how.name, timeout)

    def wait_ended(self, cause: str, timeout: float) -> int:
        """Wait for the end of a server that was asked for it by *cause*; return its return code.

        :raises StopError: it still ran after *timeout* seconds; the session has been killed.
        """
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            sections = [*self.journal.evidence(), *self.stacks()]
            self._kill()
            raise StopError(
                evidence(f"the server still ran {timeout:g} s after {cause} and was killed", sections), self
            ) from None
        # What it wrote last is in the pipe; only a process that inherited the pipe makes this wait its whole time.
        self.journal.join(JOURNAL_SECONDS)
        return code

    def close(self, *, quick: bool = False) -> None:
        """Bring the server to its end, whatever its state, and release everything.

        :param quick: do not wait for requests under way: somebody has failed already, and waits for the report.
        :raises StopError: it had to be killed.
        :raises LeakError: it left processes behind, which have been killed.
        """
        is_gone = False
        try:
            if not self.ended():
                self._end_quickly() if quick else self.stop(signal.SIGTERM, self._options.stop_timeout)
            left = wait_cluster_empty(self.pid, self.tag, scaled(ORPHAN_SECONDS))
            is_gone = not left
            if left:
                sections = [("processes", "\n".join(map(str, left))), *self.journal.evidence()]
                count = f"{len(left)} process{'es were' if len(left) > 1 else ' was'}"
                cause = f"{count} left after the primary had ended; killed now"
                raise LeakError(evidence(cause, sections), self)
        finally:
            self.abort(is_gone=is_gone)

    def _end_quickly(self) -> None:
        if end_quickly(self.process, self._has_requests):
            self.journal.join(JOURNAL_SECONDS)
        else:
            self._kill()

    def _has_requests(self) -> bool:
        workers = {entry.worker for entry in self.journal.entries if entry.worker}
        return any(self.tallies.of(one).in_flight for one in workers)

    def abort(self, *, is_gone: bool = False) -> None:
        """Kill the session without asking and release everything; nothing is reported.

        :param is_gone: nobody has to be looked for any more.
        """
        if self._process is None:
            self._give_up()
            return
        if not is_gone:
            self._kill()
        self.journal.join(ORPHAN_SECONDS)
        self.logs.keep()
        self.tallies.keep()
        self.control.close()
        self._socket_files.remove()
        shutil.rmtree(self.folder, ignore_errors=True)
        guard.release(self.tag)

    def keep(self) -> None:
        """Let it run on after pytest has ended; nothing ends it any more but who wants to."""
        self.control.call(self.pid, "keep", timeout=scaled(5.0))
        guard.release(self.tag)
        self.logs.keep()
        self.tallies.keep()
        self.control.close()

    def _tell_reached(self, hello: Hello, reached: Reached) -> None:
        if self.reached is not None:
            self.reached(hello, reached)

    def _kill(self) -> None:
        kill_cluster(self.pid, self.tag)
        self.process.wait()

    @contextlib.contextmanager
    def _undone_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """Release what a preparation or a start that failed has left."""
        kill_cluster(None, self.tag)
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._files is not None:
            self._files.release()
        shutil.rmtree(self.folder, ignore_errors=True)
        guard.release(self.tag)

    def _environment(self) -> dict[str, str]:
        own = {CONTROL_VARIABLE: self.control.path, TOKEN_VARIABLE: self.control.token}
        environment = environment_of(self._options, own, self.pythonpath)
        return {**environment, JOURNAL_VARIABLE: str(self._journal_end.fileno()), TAG_VARIABLE: self.tag}

    def _spawn(self) -> None:
        with self._journal_end, open(self.log_path, "ab") as log:
            try:
                self._process = spawn(
                    self._command,
                    folder=self._options.cwd or self.folder,
                    environment=self._environment(),
                    log=log.fileno(),
                    passed=self._journal_end.fileno(),
                    searched=searched(self._options, self.pythonpath),
                    imports=imports_of(self._options),
                    here=self._options.fork_app,
                )
            except OSError as error:  # no process to be had, an environment that is too large, a folder that is gone
                raise StartError(f"the server cannot be started: {error}") from error
        guard.watch(self.tag, self.pid)
