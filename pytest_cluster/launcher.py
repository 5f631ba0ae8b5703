"""The server as a process: start it in a session of its own, stop it, and leave nothing behind.

What is promised (and tested with servers that misbehave):

- its output goes to a file: a pipe that nobody drains would stop it, an inherited descriptor would end up in
  whichever capture phase of pytest is active;
- only the journal's writing end is handed down; the reading end, like the folder, is released on every way
  out;
- stopping is a ladder: the signal, a bounded wait, SIGKILL for the session.  Whatever it took, no process of
  the session is left afterwards, and that something had to be killed is an error.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile

from .conf import DEFAULT_BIND, conf_source
from .errors import LeakError, OptionError, StartError, StopError
from .journal import Journal
from .leaks import kill_session, wait_session_empty
from .options import ClusterOptions
from .waiting import evidence

__all__ = ["ServerProcess"]

JOURNAL_VARIABLE = "NODECLUSTER_JOURNAL_FD"

# Workers end by themselves at once when their primary is gone; on a busy machine "at once" takes a while.
ORPHAN_SECONDS = 3.0
JOURNAL_SECONDS = 1.0
LOG_TAIL_BYTES = 8192
LOG_TAIL_LINES = 60


class ServerProcess:
    """A gunicorn of our own, from its start to the moment when nothing of it is left."""

    def __init__(self, options: ClusterOptions, *, pythonpath: str, bind: str = DEFAULT_BIND) -> None:
        if not options.app:
            raise OptionError("cluster: which application? Say app='package.module:app' or use --cluster-app")
        source = conf_source(options, pythonpath=pythonpath, bind=bind)
        # Short: the path of a unix socket may have 107 bytes, and pytest's tmp_path is often longer.
        self.folder = tempfile.mkdtemp(prefix="pc-")
        self.log_path = os.path.join(self.folder, "server.log")
        conf_path = os.path.join(self.folder, "gunicorn.conf.py")
        self._options = options
        self._last_log = ""
        try:
            with open(conf_path, "w", encoding="utf-8") as conf:
                conf.write(source)
            command = [sys.executable, "-m", "gunicorn", "-c", conf_path, options.app]
            self.process, self.journal = self._spawn(command)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    @property
    def pid(self) -> int:
        """The primary's pid, which is its session's number as well."""
        return self.process.pid

    @property
    def log(self) -> str:
        """All that the server has written; the last state of it after the end."""
        with contextlib.suppress(FileNotFoundError), open(self.log_path, "rb") as log:
            self._last_log = log.read().decode(errors="replace")
        return self._last_log

    def log_tail(self) -> str:
        """The end of the log, short enough for an error message."""
        return "\n".join(self.log[-LOG_TAIL_BYTES:].splitlines()[-LOG_TAIL_LINES:])

    def ended(self) -> bool:
        """Whether the primary has ended."""
        return self.process.poll() is not None

    def settle(self) -> bool:
        """As :meth:`ended`, but a primary that has closed its journal is given a moment to be gone."""
        if self.journal.ended:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(JOURNAL_SECONDS)
        return self.ended()

    def start_error(self, cause: str) -> StartError:
        """The error that says why the cluster did not start, with everything that may explain it."""
        code = self.process.poll()
        if code is not None:
            cause += f": the server ended with {describe_returncode(code)}"
        return StartError(evidence(cause, self.journal.evidence()))

    def stop(self, how: signal.Signals, timeout: float) -> int:
        """Ask the primary to end with signal *how* and wait for it, and for the end of the journal.

        :raises StopError: it still ran after *timeout* seconds; the session has been killed.
        """
        self.process.send_signal(how)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            sections = self.journal.evidence()
            self._kill()
            cause = f"the server still ran {timeout:g} s after {how.name} and was killed"
            raise StopError(evidence(cause, sections)) from None
        # What it wrote last is in the pipe; only a process that inherited the pipe makes this wait its whole time.
        self.journal.join(JOURNAL_SECONDS)
        return code

    def close(self) -> None:
        """Bring the server to its end, whatever its state, and release everything.

        :raises StopError: it had to be killed.
        :raises LeakError: it left processes behind, which have been killed.
        """
        try:
            if not self.ended():
                self.stop(signal.SIGTERM, self._options.stop_timeout)
            left = wait_session_empty(self.pid, ORPHAN_SECONDS)
            if left:
                sections = [("processes", "\n".join(map(str, left))), *self.journal.evidence()]
                cause = f"{len(left)} process(es) left after the primary had ended; killed now"
                raise LeakError(evidence(cause, sections))
        finally:
            self.abort()

    def abort(self) -> None:
        """Kill the session without asking and release everything; nothing is reported."""
        self._kill()
        self.journal.join(ORPHAN_SECONDS)
        self._last_log = self.log
        shutil.rmtree(self.folder, ignore_errors=True)

    def _kill(self) -> None:
        kill_session(self.pid)
        self.process.wait()

    def _spawn(self, command: list[str]) -> tuple[subprocess.Popen[bytes], Journal]:
        environment = dict(os.environ)
        for name, value in self._options.env.items():
            environment.pop(name, None)
            if value is not None:
                environment[name] = value
        reading, writing = os.pipe()
        environment[JOURNAL_VARIABLE] = str(writing)
        try:
            with open(self.log_path, "ab") as log:
                process = subprocess.Popen(
                    command,
                    cwd=self._options.cwd or self.folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(writing,),
                    start_new_session=True,
                )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        return process, Journal(reading, log_tail=self.log_tail)


def describe_returncode(code: int) -> str:
    """Say what a return code means: ``exit code 3``, ``SIGKILL``."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
