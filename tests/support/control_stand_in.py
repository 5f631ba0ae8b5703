"""Stand in for a server at its control socket: answers what a test says, or nothing."""

from __future__ import annotations

import json
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

__all__ = ["ControlStandIn"]

_HEADER: Final = struct.Struct(">I")


class ControlStandIn:
    """Answers commands; a context manager.

    Args:
        path: of its socket.
        answers: what it gives, by command; what is not there is refused.

    Attributes:
        asked: the commands that came.
        may_answer: cleared while it hangs.
    """

    def __init__(self, path: str, answers: Mapping[str, Callable[[], dict[str, Any]]]) -> None:
        self.asked: list[list[str]] = []
        self._clients: list[socket.socket] = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        stand_in = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                stand_in._clients.append(self.connection)
                while head := self.rfile.read(_HEADER.size):
                    said = json.loads(self.rfile.read(_HEADER.unpack(head)[0]))
                    stand_in.asked.append([said["command"], *said["args"]])
                    stand_in.may_answer.wait()
                    take = answers.get(said["command"])
                    answer = {"status": "error", "error": "it is refused"} if take is None else {"status": "ok"}
                    data = json.dumps({"id": said["id"], **answer, "data": take() if take else None}).encode()
                    self.wfile.write(_HEADER.pack(len(data)) + data)

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Say nothing of clients that have gone."""

        self._server = Server(path, Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> ControlStandIn:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.may_answer.set()
        self._server.shutdown()
        for client in self._clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.server_close()
