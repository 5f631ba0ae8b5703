"""Run a program of a few lines to its end: forked where this run forks servers, and otherwise by its command."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

from pytest_cluster.server.fork_server import fork_server

__all__ = ["run_program"]

SECONDS = 50.0


def run_program(
    command: list[str], *, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command as ``subprocess.run`` does, and return what it printed.

    Raises:
        subprocess.TimeoutExpired: it has not ended; it is killed.
    """
    environment = dict(os.environ if env is None else env)
    with _Pipe() as out, _Pipe() as err:
        descriptors = {0: 0, 1: out.writing, 2: err.writing}
        process = fork_server.start(command, folder=str(cwd), environment=environment, descriptors=descriptors)
        if process is None:
            return subprocess.run(
                command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        out.read()
        err.read()
        try:
            code = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        return subprocess.CompletedProcess(command, code, out.text(), err.text())


class _Pipe:
    """Read what a process writes, to its end."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._said = b""

    def __enter__(self) -> _Pipe:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.ident is None:
            os.close(self.writing)
            os.close(self._reading)

    def read(self) -> None:
        """Begin, when the process has its end."""
        os.close(self.writing)
        self._thread.start()

    def text(self) -> str:
        """Wait for the end; return it all."""
        self._thread.join(SECONDS)
        return self._said.decode().replace("\r\n", "\n")

    def _read(self) -> None:
        with open(self._reading, "rb") as file:
            self._said = file.read()
