"""Talk to the control socket of a server: the client that every command of ``nodeclusterctl`` uses.

    with ControlClient(path) as server:
        status = server.ask("cluster status")

The protocol is gunicorn's: 4 bytes of length, big endian, then JSON.  Nothing of gunicorn is needed for it.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

from ..base.variables import CONTROL_SOCKET
from ..errors import ClusterError

__all__ = ["ControlClient", "Gone", "NoServer", "Refused", "path_of_server"]

_HEADER: Final = struct.Struct(">I")
_UNKNOWN_TO_STOCK: Final = "Unknown command: cluster"
_MOST_BYTES: Final = 64 * 1024 * 1024
_PATIENCE: Final = 5.0  # for another master to have the path: an old one takes it back within three seconds
_PAUSE: Final = 0.1
_CREDENTIALS: Final = struct.Struct("iII")  # struct ucred: pid, uid, gid


class NoServer(ClusterError):
    """Nobody answers on the control socket; the sentence says where that was looked for."""


class Gone(NoServer):
    """The server on the control socket has closed the connection: it has ended, for one."""


class Refused(ClusterError):
    """The server does not do what it was asked; the sentence is its."""


def path_of_server(asked: str | None, environ: Mapping[str, str] = os.environ) -> tuple[str, str]:
    """Return where the control socket of the server should be, and how that is known.

    Args:
        asked: what ``--control-socket`` says, if it was given.
        environ: the environment.

    Raises:
        NoServer: an empty path is no path, and is not the one of another server either.
    """
    if asked == "":
        raise NoServer("expected --control-socket to be a path, got an empty one: is a variable not set?")
    if asked:
        return os.path.abspath(asked), "--control-socket"
    if environ.get(CONTROL_SOCKET):
        return os.path.abspath(environ[CONTROL_SOCKET]), CONTROL_SOCKET
    runtime = environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isdir(runtime):
        return os.path.join(runtime, "gunicorn.ctl"), "gunicorn's default, by XDG_RUNTIME_DIR"
    return os.path.join(os.path.expanduser("~"), ".gunicorn", "gunicorn.ctl"), "gunicorn's default"


class ControlClient:
    """A connection to a server; it lives through forks and reloads of that server.

    An old master that ends after an upgrade ends it, too.  To go on waiting for something, connect again
    (:meth:`connect_again`), to the new one.

    Args:
        path: of the control socket.
        known_by: how the path is known, for the sentence that says that nobody answers there.
        timeout: seconds that an answer may take.

    Attributes:
        server_pid: the process that listens there; 0 where it cannot be known.

    Raises:
        NoServer: nobody answers there.
    """

    def __init__(self, path: str, known_by: str = "", timeout: float = 30.0) -> None:
        self.path = path
        self.known_by = known_by
        self._where = f"{path} ({known_by})" if known_by else path
        self._number = 0
        self._timeout = timeout
        self._gone_since: float | None = None  # without an answer meanwhile
        self._connect()

    def _connect(self) -> None:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock.settimeout(self._timeout)
        try:
            self._sock.connect(self.path)
            credentials = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        except OSError as error:
            self._sock.close()
            raise NoServer(f"no server answers on {self._where}: {error.strerror or error}") from None
        self.server_pid: int = _CREDENTIALS.unpack(credentials)[0]

    def connect_again(self, gone: Gone) -> bool:
        """Connect to the process that has the path now; return whether it is another than before.

        Args:
            gone: that the former server has gone; raised where nobody takes its place for some seconds, or whoever
                does closes each connection without an answer.
        """
        former = self.server_pid
        if self._gone_since is None:
            self._gone_since = time.monotonic()
        while time.monotonic() < self._gone_since + _PATIENCE:
            time.sleep(_PAUSE)
            self._sock.close()
            with suppress(NoServer):
                self._connect()
                return self.server_pid != former
        raise gone from None

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave."""
        self._sock.close()

    def ask(self, command: str, *args: str, timeout: float | None = None) -> dict[str, Any]:
        """Send a command and return what it gives.

        Args:
            command: such as ``cluster status``.
            args: its arguments.
            timeout: seconds that this answer may take, if it is not the usual time.

        Raises:
            Refused: the server says why not.
            NoServer: it has gone, or does not answer in time.
        """
        self._number += 1
        payload = json.dumps({"id": self._number, "command": command, "args": list(args)}).encode()
        usual = self._sock.gettimeout()
        try:
            if timeout is not None:
                self._sock.settimeout(timeout)
            self._sock.sendall(_HEADER.pack(len(payload)) + payload)
            answer = json.loads(self._read(_HEADER.unpack(self._read(_HEADER.size))[0]))
        except TimeoutError:
            raise NoServer(f"the server on {self._where} does not answer {shlex.quote(command)} in time") from None
        except OSError as error:
            raise Gone(f"the server on {self._where} has gone: {error}") from None
        except (ValueError, RecursionError) as error:
            raise NoServer(f"what answers on {self._where} is no server of this kind: {error}") from None
        finally:
            self._sock.settimeout(usual)
        self._gone_since = None
        return self._data_of(answer)

    def _data_of(self, answer: object) -> dict[str, Any]:
        if not isinstance(answer, dict) or not isinstance(answer.get("data") or {}, dict):
            raise NoServer(f"what answers on {self._where} is no server of this kind: it sends no JSON object")
        if answer.get("status") == "ok":
            return answer.get("data") or {}
        reason = str(answer.get("error", "the server gave no reason"))
        if reason.endswith(_UNKNOWN_TO_STOCK):
            raise Refused(f"the gunicorn on {self._where} has no cluster: its worker class (-k) is another one")
        raise Refused(reason)

    def _read(self, length: int) -> bytes:
        if length > _MOST_BYTES:
            raise ValueError(f"expected at most {_MOST_BYTES} bytes, got {length}")
        data = bytearray()
        while len(data) < length:
            part = self._sock.recv(min(length - len(data), 1 << 20))
            if not part:
                raise ConnectionError("the connection was closed")
            data += part
        return bytes(data)
