"""A program that is measured, in a session of its own: knows when its workers listen, leaves no process behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import procfs

if TYPE_CHECKING:
    from typing_extensions import Self

HERE = Path(__file__).resolve().parent
START_SECONDS = 30.0
STOP_SECONDS = 5.0
SETTLE_SECONDS = 0.3


class BenchError(Exception):
    """A measurement could not be made; the text says why."""


def free_port() -> int:
    """A TCP port of the loopback address that nobody uses right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def let_niceness_count(pid: int) -> None:
    """Give this script's niceness to the new session as a whole.

    Linux's autogroups share the processor out among sessions first: a process's own niceness counts among those of
    its session only, so `nice bench/speed.py` would leave the servers at the priority of everybody else.
    """
    if niceness := os.nice(0):
        with contextlib.suppress(OSError):  # no autogroups, or no right to raise a priority
            (procfs.PROC / str(pid) / "autogroup").write_text(str(niceness))


class Session:
    """A program and all its children: `with Session(arguments, environment, workers=2) as server: ...`.

    The program, which is called the primary here, appends a line to the file BENCH_EVENTS for each step of a
    worker's life; see `apps/conf.py`.
    """

    def __init__(self, arguments: list[str], environment: dict[str, str], workers: int) -> None:
        self.wanted = workers
        self.directory = Path(tempfile.mkdtemp(prefix="bench-"))
        self._arguments = arguments
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The primary, which also gives the session its number."""
        if self._process is None:
            raise BenchError("the server was not started")
        return self._process.pid

    @property
    def entered_file(self) -> Path:
        """Where the application's /mark/<id> notes its requests."""
        return self.directory / "entered"

    @property
    def log_file(self) -> Path:
        """What the program says."""
        return self.directory / "log"

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_until_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the program; it may not serve yet."""
        environment = {
            **os.environ,
            "XDG_RUNTIME_DIR": str(self.directory),  # gunicorn's control socket, one for each server
            "BENCH_EVENTS": str(self.directory / "events"),
            "BENCH_ENTERED": str(self.entered_file),
            **self._environment,
        }
        with open(self.log_file, "wb") as log:
            self._process = subprocess.Popen(
                self._arguments,
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        let_niceness_count(self._process.pid)

    def wait_until_ready(self) -> None:
        """Wait until all its workers listen; at once where none are wanted."""
        if not self.wanted:
            return
        self.wait_for_listening(self.wanted, since=0.0, limit=START_SECONDS)
        time.sleep(SETTLE_SECONDS)

    def close(self) -> None:
        """TERM, then KILL for what is left of the session; removes the server's directory."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        deadline = time.monotonic() + STOP_SECONDS
        while (left := procfs.session_members(self.pid)) and time.monotonic() < deadline:
            for process in left:
                self.kill(process.pid, signal.SIGKILL)
            time.sleep(0.02)
        self._process.wait(STOP_SECONDS)
        shutil.rmtree(self.directory, ignore_errors=True)

    def kill(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to a process of this server; one that is gone already is fine."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def has_ended(self) -> bool:
        """Whether the program has ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the primary."""
        self.kill(self.pid, number)

    def workers(self) -> list[int]:
        """The pids of the living children of the primary."""
        return [process.pid for process in procfs.session_members(self.pid) if process.parent == self.pid]

    def seconds_until_gone(self, limit: float) -> float | None:
        """How long this server still has a living process; None if it has one at the limit."""
        return procfs.seconds_until_empty(self.pid, limit)

    def events(self, since: float = 0.0) -> list[dict[str, Any]]:
        """The steps of the workers' lives noted after a moment of the monotonic clock."""
        try:
            lines = (self.directory / "events").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        return [event for event in map(json.loads, lines) if event["time"] >= since]

    def wait_for_listening(self, number: int, since: float, limit: float) -> float:
        """Wait until `number` workers began to listen after `since`; returns the moment of the last."""
        deadline = time.monotonic() + limit
        while True:
            times = [event["time"] for event in self.events(since) if event["event"] == "listening"]
            if len(times) >= number:
                moment: float = times[number - 1]
                return moment
            ended = self.has_ended()
            if ended or time.monotonic() > deadline:
                what = "it ended" if ended else f"not after {limit:.0f} s"
                said = self.last_log_line()
                raise BenchError(f"{len(times)} of {number} workers listening, {what}: {said}")
            time.sleep(0.01)

    def last_log_line(self) -> str:
        """What the server said last, for an error message."""
        lines = (self.directory / "log").read_text(encoding="utf-8", errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        errors = [line for line in said if "Error" in line]
        return (errors or said or ["it said nothing"])[-1]
