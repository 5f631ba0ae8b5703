"""Run a service beside a test's clusters: Redis, PostgreSQL; on a socket in a folder of its own, gone with the run.

No port: nobody else can have it, or reach it.  The guard ends what pytest's sudden death leaves.
"""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import MissingProgram, ServiceError
from ..options.service_urls import parse_service_url
from ..waiting import poll, scaled
from .folder import make_folder
from .guard import guard

__all__ = [
    "Service",
    "ended",
    "last_line",
    "postgresql",
    "program",
    "redis",
    "running",
    "running_already",
    "service_folder",
    "text_of",
]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

START_SECONDS = 30.0
STOP_SECONDS = 10.0
LOG_CHARACTERS = 2000
LOG_BYTES = 65536
CONNECT_SECONDS = 5.0
DEBIAN_POSTGRESQL = "/usr/lib/postgresql/*/bin"


@dataclass(frozen=True, slots=True)
class Service:
    """A service that runs."""

    url: str
    """As client libraries take it."""
    path: str
    """Of its socket, for Redis; of the folder with the socket, for PostgreSQL; empty where it is on a port."""
    pid: int
    """0 where somebody else runs it."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables by which client programs find it."""


@contextlib.contextmanager
def redis() -> Iterator[Service]:
    """Run ``redis-server``, or Valkey, that keeps nothing on the disk.

    :raises MissingProgram: there is none here.
    :raises ServiceError: it does not come up.
    """
    command = program(["redis-server", "valkey-server"], [], "redis")
    with service_folder() as folder:
        path = os.path.join(folder, "redis.sock")
        options = ["--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no", "--dir", folder]
        with running("redis", [command, *options], folder, lambda _: _says_pong(path)) as pid:
            yield Service(f"unix://{path}?db=0", path, pid)


@contextlib.contextmanager
def postgresql() -> Iterator[Service]:
    """Make a PostgreSQL with a database and a user ``test``, and run it; what it writes is not synced to the disk.

    :raises MissingProgram: there is none here, or nobody who could run it: it refuses to run as root.
    :raises ServiceError: it does not come up.
    """
    folders = sorted(glob.glob(DEBIAN_POSTGRESQL), key=_version)[::-1]
    initdb, server = (program([name], folders, "postgresql") for name in ("initdb", "postgres"))
    owner = _owner()
    with service_folder() as folder:
        if owner:
            os.chown(folder, owner["user"], owner["group"])
        data = os.path.join(folder, "data")
        options = ["-D", data, "-U", "test", "--auth=trust", "--no-sync", "--locale=C", "--encoding=UTF8"]
        made = ended("postgresql", [initdb, *options], cwd=folder, **owner)
        if made.returncode:
            raise ServiceError(f"postgresql: initdb failed: {last_line(made.stderr)}")
        command = [server, "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
        with running("postgresql", command, folder, _is_ready, owner) as pid:
            env = {"PGHOST": folder, "PGUSER": "test", "PGDATABASE": "postgres"}
            yield Service(f"postgresql://test@/postgres?host={folder}", folder, pid, env)


def running_already(name: str, url: str) -> Service:
    """Return a service that somebody else runs: Redis or PostgreSQL, by its URL, if somebody listens there.

    :raises ServiceError: nobody does.
    """
    place = parse_service_url(name, url)
    try:
        with place.connected(CONNECT_SECONDS) as connection:
            connection.getpeername()
    except OSError as error:
        raise ServiceError(f"{name}: nobody answers at {url}: {error}") from None
    return Service(url, place.path, 0, place.env)


def program(names: Sequence[str], folders: Sequence[str], package: str) -> str:
    """Return the path of the first of *names* that is there: in ``PATH``, or in *folders*.

    :param package: of Debian, that has it.
    :raises MissingProgram: none is.
    """
    searched = os.pathsep.join([os.environ.get("PATH", os.defpath), *folders])
    found = next(filter(None, (shutil.which(name, path=searched) for name in names)), None)
    if found is None:
        raise MissingProgram(
            f"{package}: there is no {' or '.join(names)} in PATH{''.join(f', {one}' for one in folders[:1])}: install "
            f"it (Debian: apt-get install {package}), or run these tests elsewhere"
        )
    return found


def ended(name: str, command: Sequence[str], **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a program of a service to its end.

    :param more: for ``subprocess``.
    :raises ServiceError: it cannot be run, or does not end.
    """
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=scaled(START_SECONDS), **more
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceError(f"{name}: {error}") from None


def _owner() -> dict[str, Any]:
    """Return as whom PostgreSQL runs, for ``subprocess``."""
    if os.getuid() != 0:
        return {}
    try:
        owner = pwd.getpwnam("postgres")
    except KeyError:
        raise MissingProgram(
            "postgresql: it does not run as root, and there is no user postgres: run the tests as another user"
        ) from None
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}


@contextlib.contextmanager
def service_folder() -> Iterator[str]:
    """Make a folder for the time of a block."""
    folder = make_folder()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def running(
    name: str,
    command: Sequence[str],
    folder: str,
    is_ready: Callable[[str], bool],
    owner: Mapping[str, Any] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    passed: Sequence[socket.socket] = (),
) -> Iterator[int]:
    """Run a service for the time of a block, which begins when it is ready; *is_ready* is given its log.

    :param owner: as whom it runs, for ``subprocess``.
    :param environment: what it gets beside ours.
    :param passed: sockets that it inherits.
    :raises ServiceError: it does not come up.
    """
    tag, path = f"service-{secrets.token_hex(8)}", os.path.join(folder, f"{name}.log")
    guard.announce(tag, folder)
    try:
        with open(path, "wb") as log:
            process = _start(command, folder, log.fileno(), owner or {}, environment or {}, passed)
        guard.watch(tag, process.pid)
        try:
            poll(lambda: process.poll() is not None or is_ready(_end_of(path)), scaled(START_SECONDS))
            if process.poll() is not None or not is_ready(_end_of(path)):
                raise ServiceError(_why_not(name, process.poll(), _end_of(path)))
            yield process.pid
        finally:
            _end(process)
    except OSError as error:
        raise ServiceError(f"{name}: it cannot be started: {error}") from error
    finally:
        guard.release(tag)


def _start(
    command: Sequence[str],
    folder: str,
    log: int,
    owner: Mapping[str, Any],
    environment: Mapping[str, str],
    passed: Sequence[socket.socket],
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C", **environment},
        pass_fds=[one.fileno() for one in passed],
        **owner,
    )


def _why_not(name: str, code: int | None, log: str) -> str:
    what = f"it did not come up within {scaled(START_SECONDS):g} s" if code is None else f"it ended with code {code}"
    return f"{name}: {what}; the end of its log: {last_line(log)}"


def last_line(text: str) -> str:
    """Return the last line of a log that says anything."""
    lines = [line.strip() for line in text[-LOG_CHARACTERS:].splitlines() if line.strip()]
    return lines[-1] if lines else "(empty)"


def _end(process: subprocess.Popen[bytes]) -> None:
    # SIGINT is PostgreSQL's quick end, which does not wait for clients; Redis takes it as SIGTERM.
    process.send_signal(signal.SIGINT)
    try:
        process.wait(scaled(STOP_SECONDS))
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def text_of(path: str) -> str:
    """Return what a file has, if it is there."""
    with contextlib.suppress(OSError), open(path, errors="replace") as file:
        return file.read()
    return ""


def _end_of(path: str) -> str:
    """Return the end of a log: one that writes without end is not read again and again."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - LOG_BYTES))
        return file.read(LOG_BYTES).decode(errors="replace")
    return ""


def _is_ready(log: str) -> bool:
    return "database system is ready to accept connections" in log


def _says_pong(path: str) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        connection.connect(path)
        connection.sendall(b"PING\r\n")
        return connection.recv(7) == b"+PONG\r\n"
    return False


def _version(folder: str) -> tuple[int, ...]:
    return tuple(int(one) for one in folder.split("/")[4].split(".") if one.isdigit())
