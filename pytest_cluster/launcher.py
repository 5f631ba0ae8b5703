"""The server as a process: start it in a session of its own, stop it, and leave nothing behind.

What is promised (and tested with servers that misbehave):

- its output goes to files: a pipe that nobody drains would stop it, an inherited descriptor would end up in
  whichever capture phase of pytest is active;
- only the journal's writing end is handed down; the reading end, like the folder, is released on every way
  out;
- stopping is a ladder: the signal, a bounded wait, SIGKILL for the session.  Whatever it took, no process of
  the session is left afterwards, and that something had to be killed is an error;
- it is guarded before it exists: whatever ends pytest ends it as well (see ``guard``).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable

from .conf import DEFAULT_BIND, conf_source
from .control import Control
from .errors import LeakError, OptionError, StartError, StopError
from .exits import describe_returncode
from .guard import guard
from .journal import Journal
from .leaks import TAG_VARIABLE, kill_cluster, wait_cluster_empty
from .logs import LogFolder
from .options import ClusterOptions
from .socket_files import SocketFiles
from .stacks import collect_stacks
from .tallies import Tallies
from .waiting import evidence, scaled
from .wire import CONTROL_VARIABLE, TOKEN_VARIABLE, Hello, Reached

__all__ = ["ServerProcess"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

JOURNAL_VARIABLE = "NODECLUSTER_JOURNAL_FD"

# Workers end by themselves at once when their primary is gone; on a busy machine "at once" takes a while.
ORPHAN_SECONDS = 3.0
JOURNAL_SECONDS = 1.0
LOG_TAIL_CHARACTERS = 6000
LOG_TAIL_LINES = 40

SOCKET_PATH_BYTES = 107
LONGEST_NAME = len("/pc-xxxxxxxx/control")


def _make_folder() -> str:
    """Return a new folder, whose path is short enough for the socket in it."""
    long = len(os.fsencode(tempfile.gettempdir())) + LONGEST_NAME > SOCKET_PATH_BYTES
    try:
        return tempfile.mkdtemp(prefix="pc-", dir="/tmp" if long else None)  # noqa: S108 - mkdtemp chooses the name
    except OSError as error:
        raise _no_folder(error) from None


def _no_folder(error: OSError) -> StartError:
    return StartError(f"the cluster's folder cannot be made: {error}; TMPDIR says where it should be")


def _tail(text: str) -> str:
    return "\n".join(text[-LOG_TAIL_CHARACTERS:].splitlines()[-LOG_TAIL_LINES:])


def _import_path(folders: str, rest: str | None) -> str:
    """Return the PYTHONPATH with *folders*, which gunicorn takes with commas, before the *rest*."""
    return os.pathsep.join([*folders.split(","), *([rest] if rest else [])])


class ServerProcess:
    """A server of our own, from its start to the moment when nothing of it is left.

    Attributes:
        folder: everything of it that is on disk; short, because the path of a unix socket may have 107 bytes.
        control: the connections to its processes.
        reached: called, in a thread, when a step that is held was reached.
    """

    def __init__(self, options: ClusterOptions, *, pythonpath: str, bind: str = DEFAULT_BIND) -> None:
        if not options.app and not options.script:
            raise OptionError("cluster: which application? Say app='package.module:app' or use --cluster-app")
        source = conf_source(options, pythonpath=pythonpath, bind=bind)
        self.folder = _make_folder()
        self.log_path = os.path.join(self.folder, "server.log")
        self.tag = secrets.token_hex(16)
        self.logs = LogFolder(self.folder)
        self.reached: Callable[[Hello, Reached], None] | None = None
        self._options = options
        self._pythonpath = pythonpath
        self._socket_files = SocketFiles(self.tag, options.cwd or self.folder)
        try:
            guard.announce(self.tag, self.folder)
            self._spawn(self._furnish(source))
        except BaseException:
            self._give_up()
            raise

    @property
    def pid(self) -> int:
        """The primary's pid, which is its session's number as well."""
        return self.process.pid

    @property
    def timeout(self) -> object:
        """Of gunicorn's settings the ``timeout``, if the test has set it."""
        return self._options.settings.get("timeout")

    @property
    def log(self) -> str:
        """All that the server has written, the primary's part first; the last state of it after the end."""
        return self.logs.everything

    def log_tail(self) -> str:
        """The ends of two logs, short enough for an error message: the primary's, and the worker's that ended last.

        Of workers that all live it is the youngest's.
        """
        workers = self.logs.of_workers()
        ended = [entry.worker for entry in self.journal.entries if entry.event == "exit" and entry.worker in workers]
        shown = [(f"worker {one}:\n", workers[one].text) for one in (ended or sorted(workers))[-1:]]
        parts = [("", self.logs.primary.text), *shown]
        return "\n".join(title + _tail(text) for title, text in parts if text.strip())

    def ended(self) -> bool:
        """Whether the primary has ended."""
        return self.process.poll() is not None

    def settle(self) -> bool:
        """As :meth:`ended`, but a primary that has closed its journal is given a moment to be gone."""
        if self.journal.ended:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(JOURNAL_SECONDS)
        return self.ended()

    def stacks(self) -> list[tuple[str, str]]:
        """What every process of the cluster is doing, one titled section each."""
        roles = {one.pid: one.worker for one in self.control.hellos}
        texts = collect_stacks(self.folder, [pid for pid in self.control.pids() if pid in roles])
        titles = {pid: f"worker {roles[pid]}" if roles[pid] is not None else "primary" for pid in texts}
        return [(f"stacks of {titles[pid]} (pid {pid})", text) for pid, text in sorted(texts.items())]

    def start_error(self, cause: str) -> StartError:
        """The error that says why the cluster did not start, with everything that may explain it."""
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

    def close(self) -> None:
        """Bring the server to its end, whatever its state, and release everything.

        :raises StopError: it had to be killed.
        :raises LeakError: it left processes behind, which have been killed.
        """
        try:
            if not self.ended():
                self.stop(signal.SIGTERM, self._options.stop_timeout)
            left = wait_cluster_empty(self.pid, self.tag, scaled(ORPHAN_SECONDS))
            if left:
                sections = [("processes", "\n".join(map(str, left))), *self.journal.evidence()]
                cause = f"{len(left)} process(es) left after the primary had ended; killed now"
                raise LeakError(evidence(cause, sections), self)
        finally:
            self.abort()

    def abort(self) -> None:
        """Kill the session without asking and release everything; nothing is reported."""
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

    def _give_up(self) -> None:
        """Undo a start that came to no more than this, wherever it was."""
        kill_cluster(None, self.tag)
        if hasattr(self, "process"):
            self.process.kill()
            self.process.wait()
        if hasattr(self, "tallies"):
            self.tallies.keep()
        if hasattr(self, "control"):
            self.control.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        guard.release(self.tag)

    def _furnish(self, source: str) -> list[str]:
        """Put into the folder what the server needs there; return the command that starts it."""
        try:
            self.tallies = Tallies(os.path.join(self.folder, "tallies"))
            self.control = Control(os.path.join(self.folder, "control"), self._tell_reached)
            return self._command(source)
        except OSError as error:
            raise _no_folder(error) from None

    def _command(self, source: str) -> list[str]:
        if self._options.script is not None:
            return [sys.executable, "-m", "nodecluster_compat", self._options.script]
        conf_path = os.path.join(self.folder, "gunicorn.conf.py")
        with open(conf_path, "w", encoding="utf-8") as conf:
            conf.write(source)
        return [sys.executable, "-m", "gunicorn", "-c", conf_path, self._options.app or ""]

    def _environment(self, journal_fd: int) -> dict[str, str]:
        environment = dict(os.environ)
        environment[CONTROL_VARIABLE] = self.control.path
        environment[TOKEN_VARIABLE] = self.control.token
        # Last, so that a test can take even the token away: the server is then what it is in production.
        for name, value in self._options.environment.items():
            environment.pop(name, None)
            if value is not None:
                environment[name] = value
        if self._options.script is not None:  # an application's is in its gunicorn.conf.py
            environment["PYTHONPATH"] = _import_path(self._pythonpath, environment.get("PYTHONPATH"))
        environment[JOURNAL_VARIABLE] = str(journal_fd)
        environment[TAG_VARIABLE] = self.tag
        return environment

    def _spawn(self, command: list[str]) -> None:
        reading, writing = os.pipe()
        try:
            with open(self.log_path, "ab") as log:
                self.process = subprocess.Popen(
                    command,
                    cwd=self._options.cwd or self.folder,
                    env=self._environment(writing),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(writing,),
                    start_new_session=True,
                )
            guard.watch(self.tag, self.pid)
            self.journal = Journal(reading, log_tail=self.log_tail, heard=self._socket_files.note)
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
