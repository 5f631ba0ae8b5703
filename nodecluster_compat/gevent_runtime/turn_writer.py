"""Write all that one turn of the loop has for a client, in order, by one system call and without waiting.

Putting bytes here never waits.  They are sent when the turn ends, or when many have come.  If the kernel does not take
all of them, code that may wait sends the rest: ``stuck`` is called, and sees to :meth:`TurnWriter.finish`.  Bytes that
are put meanwhile are sent after the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gevent import get_hub
from gevent.event import Event

if TYPE_CHECKING:
    from .client_socket import ClientSocket

__all__ = ["TurnWriter"]

_MOST_BYTES: Final = 64 * 1024
"""Sent before the turn ends, so that a client can begin to read."""


class TurnWriter:
    """Writes to one connection.

    Args:
        sock: of the connection.
        stuck: called when the kernel does not take all; it must see to it that :meth:`finish` is called.

    Attributes:
        is_broken: nothing can be sent any more.
        is_stuck: something waits for code that may wait.
    """

    __slots__ = ("_bytes", "_finished", "_is_due", "_pieces", "_sock", "_stuck", "is_broken", "is_stuck")

    def __init__(self, sock: ClientSocket, stuck: Callable[[], None]) -> None:
        self._sock = sock
        self._stuck = stuck
        self._pieces: list[bytes] = []
        self._bytes = 0
        self._is_due = False
        self._finished = Event()  # nobody is at it
        self._finished.set()
        self.is_stuck = False
        self.is_broken = False

    def put(self, data: bytes) -> None:
        """Send ``data`` behind all that was put before; nothing of a connection that is broken."""
        if self.is_broken:
            return
        self._pieces.append(data)
        self._bytes += len(data)
        if self.is_stuck:
            return
        if self._bytes >= _MOST_BYTES:
            self.write()
        elif not self._is_due:
            self._is_due = True
            get_hub().loop.run_callback(self._turn_ends)

    def _turn_ends(self) -> None:
        self._is_due = False
        self.write()

    def write(self) -> None:
        """Send now what the kernel takes."""
        if self.is_stuck or self.is_broken or not self._pieces:
            return
        data = self._taken()
        try:
            sent = self._sock._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:  # the reader finds the end
            self.is_broken = True
            return
        if sent != len(data):
            self._pieces, self._bytes = [data[sent:]], len(data) - sent
            self.is_stuck = True
            self._stuck()

    def finish(self) -> None:
        """Send all, and let other greenlets run until that is done; whoever else does so waits for that, too.

        What is left half sent breaks the connection, whatever has interrupted it: nothing may follow.

        Raises:
            OSError: the connection is broken.
        """
        if not self._finished.is_set():
            self._finished.wait()
            if self.is_broken:
                raise BrokenPipeError("the client has closed the connection")
            return
        self._finished.clear()
        self.is_stuck = True
        try:
            while self._pieces:
                self._sock.sendall(self._taken())
        except BaseException:
            self.is_broken = True
            raise
        finally:
            self.is_stuck = False
            self._finished.set()

    def _taken(self) -> bytes:
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._pieces, self._bytes = [], 0
        return data
