"""A Redis server of a test's own, from Debian's package: started, paused, killed, started again at the same port."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from recipes import answers, free_port

from pytest_cluster.waiting import poll

__all__ = ["RedisServer", "needs_redis", "running"]

needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="this machine has no redis-server: apt-get install redis-server"
)


class RedisServer:
    """A server that keeps nothing on the disk."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self, *options: str, name: str = "") -> None:
        """Start it, with further options, or from a file of that name in its folder."""
        own = [name] if name else ["--save", ""]
        command = ["redis-server", *own, "--port", str(self.port), "--bind", "127.0.0.1", *options]
        self._process = subprocess.Popen(command, cwd=self._folder, stdout=subprocess.DEVNULL)
        assert poll(lambda: answers(self.port), 20)

    def restart(self, *options: str) -> None:
        self.kill()
        self.start(*options)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It stands still meanwhile, with all its connections open."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def running(folder: Path) -> Iterator[RedisServer]:
    """A server that runs, and is killed at the end."""
    server = RedisServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()
