"""Accept the clients of the control socket in the primary's own loop, and keep what they cost bounded.

gunicorn's control socket has a thread, which is joined before each fork and started again after it.  So a client that
is connected and silent holds up every fork (Python 3.12 and later: for two seconds), each client is cut off at each
fork, and the socket is absent for a moment.  Without a thread none of that happens.

Clients cost nobody anything:

* one request is answered at a time, and then the door rests for nine times as long as it took: answers take a tenth of
  the time of this loop at most, however many clients ask however often (reading what they send is not counted);
* their number is bounded: if there are too many, a new one takes the place of the one that has been silent for longest,
  so a hundred clients that hang do not keep a person out;
* what a client has sent and what is sent to it are bounded (``door_client``).
"""

from __future__ import annotations

import _socket
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from .control_frames import Frame, Garbage, encode_refusal
from .door_client import DoorClient

if TYPE_CHECKING:
    from ..base.log import Log
    from ..base.loop import Loop
    from .control_frames import HttpHead

__all__ = ["BACKLOG", "Answer", "Commands", "Door"]

MOST_CLIENTS: Final = 64
BACKLOG: Final = 100
"""Clients that may wait in the kernel."""

_REST_SECONDS: Final = 1.0  # when no descriptor is left
_ACCEPT_PAUSE: Final = 0.001
_SWEEP_SECONDS: Final = 5.0
_RATIO: Final = 9.0  # of rest to work

Answer: TypeAlias = Callable[[bytes], None]
Commands: TypeAlias = Callable[[Frame, Answer], None]
"""Carries out a command and calls back with the encoded answer, now or later."""


if TYPE_CHECKING:

    class Answers(Protocol):
        """Answers ``GET`` requests."""

        def answer(self, request: HttpHead | Garbage) -> bytes:
            """Return what is to be sent."""


class Door:
    """Accepts clients on one socket.

    Args:
        loop: the primary's.
        log: told what goes wrong.
        commands: carries out what clients command.
        routes: answers what clients GET.
    """

    def __init__(self, loop: Loop, log: Log, commands: Commands, routes: Answers) -> None:
        self._loop = loop
        self._log = log
        self._commands = commands
        self._routes = routes
        self._clients: set[DoorClient] = set()
        self._waiting: deque[DoorClient] = deque()
        self._is_resting = False
        self._sock: _socket.socket | None = None
        self._sweep_later()

    @property
    def is_listening(self) -> bool:
        """Whether clients can connect."""
        return self._sock is not None

    def listen(self, sock: _socket.socket) -> None:
        """Accept clients from now on, on a socket that listens, and here only."""
        self.stop_listening()
        self._sock = sock
        self._loop.add_reader(sock.fileno(), self._accept)

    def stop_listening(self) -> None:
        """Accept nobody any more; clients stay."""
        sock, self._sock = self._sock, None
        if sock is not None:
            self._loop.remove_reader(sock.fileno())
            sock.close()

    def close(self) -> None:
        """Accept nobody any more, and send the clients away."""
        self.stop_listening()
        for client in list(self._clients):
            client.close()

    def abandon(self) -> None:
        """In a forked child: all this is the parent's."""
        if self._sock is not None:
            self._sock.close()
        for client in self._clients:
            client.abandon()

    # --- clients -------------------------------------------------------------------------------

    def _accept(self) -> None:
        """Accept one client; the next one in a moment, so that a flood of them is slow."""
        if self._sock is None:
            return
        pause = _ACCEPT_PAUSE
        try:
            fd, _ = self._sock._accept()  # type: ignore[attr-defined]  # without a socket object of Python's
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:  # no descriptor is left
            pause = _REST_SECONDS
        else:
            self._admit(_socket.socket(self._sock.family, _socket.SOCK_STREAM, 0, fd))  # told, it asks nothing
        self._loop.remove_reader(self._sock.fileno())
        self._loop.call_later(pause, self._accept_again, self._sock)

    def _accept_again(self, sock: _socket.socket) -> None:
        if self._sock is sock:
            self._loop.add_reader(sock.fileno(), self._accept)

    def _admit(self, sock: _socket.socket) -> None:
        if len(self._clients) >= MOST_CLIENTS:
            min(self._clients, key=lambda client: (client.is_busy, client.last_active)).close()
        self._clients.add(DoorClient(sock, self._loop, self._ready, self._clients.discard))

    def _sweep_later(self) -> None:
        self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        now = time.monotonic()
        for client in [one for one in self._clients if one.deadline <= now]:
            client.close()
        self._sweep_later()

    # --- requests ------------------------------------------------------------------------------

    def _ready(self, client: DoorClient) -> None:
        self._waiting.append(client)
        if not self._is_resting:
            self._is_resting = True
            self._serve_next()

    def _serve_next(self) -> None:
        if not self._waiting:
            self._is_resting = False
            return
        start, client = time.monotonic(), self._waiting.popleft()
        try:
            self._serve(client)
        except Exception:
            client.close()  # who gets no answer is not to wait for it
            raise
        finally:
            self._loop.call_later(_RATIO * (time.monotonic() - start), self._serve_next)

    def _serve(self, client: DoorClient) -> None:
        request = client.take_request()
        if isinstance(request, Frame):
            self._commands(request, client.answer)
        elif isinstance(request, Garbage) and not request.is_http:
            client.answer(encode_refusal(0, request.reason), closes=True)
        elif request is not None:
            client.answer(self._routes.answer(request), closes=True)
