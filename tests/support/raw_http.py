"""Raw requests, and what the applications of tests/apps say about them; certificates; the ``gunicorn`` command."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from receive_queue import unread_by_peer

from pytest_cluster import Cluster
from pytest_cluster.waiting import poll

__all__ = [
    "APPS",
    "CHANGE",
    "CLOSE",
    "GET",
    "GUNICORN",
    "HEAD",
    "Certificate",
    "Server",
    "environ_of",
    "exchange",
    "folder_of",
    "make_certificate",
    "normalised",
    "parent_of",
    "rest_of",
    "send",
    "serving",
    "until",
]

APPS: Final = Path(__file__).parents[1] / "apps"
GUNICORN: Final = os.path.join(os.path.dirname(sys.executable), "gunicorn")
HEAD: Final = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
GET: Final = b"GET %s HTTP/1.1\r\nHost: example.test\r\n%s\r\n"
CLOSE: Final = b"Connection: close\r\n"
PATIENCE: Final = 20.0
_GO_ON: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

CHANGE: Final = "import os\nif os.path.exists('second'):\n    exec(open('second').read())\n"
"""The end of a ``gunicorn.conf.py`` that a test can change: write the file ``second`` and send HUP."""


def exchange(client: socket.socket, request: bytes, pieces: int = 1, silence: float = 0.0) -> bytes:
    """Send the bytes, then end of input; return everything that comes back.

    A server that answers nobody who has sent the end already gets it when it has said nothing for ``silence`` seconds.
    Over IPv4 each piece is sent when the server has read the one before, so that pieces are what its parser sees.
    A server that answers before it has read everything resets the connection, or not, as the kernel's timing has it.
    """
    received = b""
    with client:
        size = max(1, len(request) // pieces)
        with contextlib.suppress(OSError):
            for start in range(0, len(request), size):
                client.sendall(request[start : start + size])
                if start + size < len(request) and not _is_read(client):
                    break
            while silence and select.select([client], [], [], silence)[0] and (data := client.recv(65536)):
                received += data
            if not isinstance(client, ssl.SSLSocket):
                client.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            while data := client.recv(65536):
                received += data
    return received


def rest_of(client: socket.socket) -> bytes:
    """Read until the connection ends, by its end-of-file; return what came."""
    received = b""
    while data := client.recv(65536):
        received += data
    return received


def _is_read(client: socket.socket) -> bool:
    """Wait until the server has read what was sent; ``False`` when it has answered, or ended, instead."""
    if client.family != socket.AF_INET or isinstance(client, ssl.SSLSocket):
        return True
    answered = False

    def settled() -> bool:
        nonlocal answered
        answered = bool(select.select([client], [], [], 0)[0]) and client.recv(128, socket.MSG_PEEK) != _GO_ON
        return answered or not unread_by_peer(client)

    if not settled():
        deadline = time.monotonic() + PATIENCE
        while not settled() and time.monotonic() < deadline:
            os.sched_yield()
    return not answered


def send(cluster: Cluster, request: bytes, pieces: int = 1, silence: float = 0.0) -> bytes:
    """Send raw bytes on a connection of their own; return the whole answer."""
    return exchange(cluster.connect(timeout=PATIENCE), request, pieces, silence)


def normalised(answer: bytes) -> bytes:
    """Return an answer without the time of day."""
    return re.sub(rb"Date: [^\r]*", b"Date: *", answer)


def environ_of(answer: bytes) -> dict[str, Any]:
    """What the application of tests/apps/echo.py says it was told."""
    told: dict[str, Any] = json.loads(answer.split(b"\r\n\r\n", 1)[1])["environ"]
    return told


def folder_of(cluster: Cluster) -> Path:
    """The directory that the server runs in."""
    return Path(f"/proc/{cluster.primary.pid}/cwd").resolve()


def parent_of(pid: int) -> int:
    """The pid of a process' parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def until(check: Callable[[], object], what: str) -> None:
    """Wait until ``check`` returns something true, for what no cluster tells."""
    assert poll(check, PATIENCE), f"expected {what}, which did not happen"


class Certificate(NamedTuple):
    """Paths of a key and of the certificate that it signed itself."""

    key: str
    cert: str


def make_certificate(folder: Path, name: str = "127.0.0.1") -> Certificate:
    """Make a certificate, for a server or for a client."""
    key, cert = folder / f"{name}-key.pem", folder / f"{name}-cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    if name == "127.0.0.1":
        command += ["-addext", f"subjectAltName=IP:{name}"]  # clients look for addresses nowhere else
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return Certificate(str(key), str(cert))


class Server(NamedTuple):
    """A ``gunicorn`` that was started by its command, not by the plugin."""

    process: subprocess.Popen[bytes]
    log_path: Path

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self.log_path.read_text()


@contextmanager
def serving(folder: Path, command: list[str], **popen: Any) -> Iterator[Server]:
    """Run a server in ``folder``; TERM at the end, which must give code 0."""
    log_path = folder / "serving.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, **popen)
    server = Server(process, log_path)
    try:
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    assert code == 0, server.log
