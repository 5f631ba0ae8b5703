"""Relay an encrypted connection to the worker that it belongs to: TLS ends here, and its session cannot move.

The other worker has one end of a pair of sockets, and sees an ordinary connection there.  A thread of its own copies
between the other end and the client, in both directions, until both have ended: one thread, because by its
documentation a session of OpenSSL is not for two threads at a time.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..routing.relays import Carried, Relays

__all__ = ["Relay"]

_PIECE_BYTES: Final = 16 * 1024
_MOST_HELD: Final = 256 * 1024
_WAITS: Final = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError)


class Relay:
    """A pair of sockets: the far one goes to the other worker.

    Args:
        relays: of this worker.
        early: what was read of the first request.

    Raises:
        OSError: no descriptors are left.
    """

    def __init__(self, relays: Relays, early: bytes | bytearray) -> None:
        self._near, self._far = socket.socketpair()
        self._lock = threading.Lock()  # so that no other socket has the number of this one when it is shut
        self._carried = relays.carry(early, self.end)

    @property
    def family(self) -> int:
        """Of both sockets."""
        return int(self._far.family)

    def fileno(self) -> int:
        """Return the descriptor of the far socket."""
        return self._far.fileno()

    def give_up(self) -> None:
        """Close both: nothing is relayed."""
        self._far.close()
        self._close()

    def end(self) -> None:
        """Break it: what the other worker has said goes to the client, if that reads, and then the connection ends."""
        with self._lock, suppress(OSError):
            self._near.shutdown(socket.SHUT_RDWR)

    def _close(self) -> None:
        self._carried.ended()
        self.end()  # a request that has forked keeps its copy
        with self._lock:
            self._near.close()

    def begin(self, client: ssl.SSLSocket, ended: Callable[[], None]) -> None:
        """Relay on a thread of its own from now on.

        Args:
            client: what TLS ends at; it is closed at the end.
            ended: called then, on that thread.

        Raises:
            RuntimeError: no thread is left.
        """
        self._far.close()
        threading.Thread(target=self._run, args=(client, ended), name="relay", daemon=True).start()

    def _run(self, client: ssl.SSLSocket, ended: Callable[[], None]) -> None:
        try:
            with suppress(OSError, ValueError):
                _Copying(client, self._near, self._carried).run()
        finally:
            self._close()
            client.close()
            ended()


class _Direction:
    """What goes from one socket to another.

    Attributes:
        is_over: nothing more comes.
        held: what has come and is not sent.
    """

    def __init__(self, source: socket.socket, sink: socket.socket, note: Callable[[bytes], None]) -> None:
        self.source, self.sink, self._note = source, sink, note
        self.is_over = False
        self.has_told = False
        self.held = bytearray()

    @property
    def has_room(self) -> bool:
        return not self.is_over and len(self.held) < _MOST_HELD

    def turn(self) -> None:
        """Copy what can be copied without waiting."""
        self._receive()
        self._send()
        if self.is_over and not self.held and not self.has_told:
            self.has_told = True
            if not isinstance(self.sink, ssl.SSLSocket):
                with suppress(OSError):
                    self.sink.shutdown(socket.SHUT_WR)

    def _receive(self) -> None:
        while self.has_room:
            try:
                data = self.source.recv(_PIECE_BYTES)
            except _WAITS:
                break
            except OSError:
                data = b""
            self.is_over = not data
            self.held += data
            if data:
                self._note(data)

    def _send(self) -> None:
        try:
            while self.held:
                del self.held[: self.sink.send(self.held[:_PIECE_BYTES])]
        except _WAITS:
            return
        except OSError:  # nobody reads there any more, perhaps after an answer, which goes the other way
            self.is_over = True
            self.held.clear()


class _Copying:
    def __init__(self, client: ssl.SSLSocket, near: socket.socket, carried: Carried) -> None:
        client.settimeout(0)
        near.settimeout(0)
        self._up = _Direction(client, near, carried.up)
        self._down = _Direction(near, client, carried.down)

    def run(self) -> None:
        """Copy until the other worker has ended its end and all of that is sent."""
        while True:
            self._up.turn()
            self._down.turn()
            if self._down.has_told:
                return
            self._wait()

    def _wait(self) -> None:
        poll = select.poll()
        for reading, writing in ((self._up, self._down), (self._down, self._up)):
            events = (select.POLLIN if reading.has_room else 0) | (select.POLLOUT if writing.held else 0)
            if events:
                poll.register(reading.source.fileno(), events)
        poll.poll()
