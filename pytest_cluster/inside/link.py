"""Connect this process to the test, and exchange records with it."""

from __future__ import annotations

import _socket
import contextlib
import time
from _thread import RLock, get_ident
from collections.abc import Callable

from ..wire.records import Call, Hello, Record, Unpacker, Welcome, pack
from .hosts import Reactor

__all__ = ["Link"]

_CONNECT_SECONDS = 10.0
_READ_BYTES = 65536


class Link:
    """A connected unix socket that carries records; nothing blocks but :meth:`greet`.  Any thread may send.

    Plain ``_socket``: the worker's ``socket`` module belongs to gevent, and greeting happens before its hub runs.
    """

    def __init__(self, path: str) -> None:
        self._sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        self._sock.settimeout(_CONNECT_SECONDS)
        self._sock.connect(path)
        self._unpacker = Unpacker()
        self._outgoing = bytearray()
        self._reactor: Reactor | None = None
        self._thread = 0
        self._lock = RLock()
        self._on_call: Callable[[Call], None]
        self._on_end: Callable[[], None]

    def greet(self, hello: Hello) -> Welcome:
        """Introduce this process; wait for the answer.

        :raises OSError: the test is gone, or does not want this process.
        """
        self._sock.send(pack(hello))
        while True:
            data = self._sock.recv(_READ_BYTES)
            if not data:
                raise ConnectionError("the test did not welcome this process")
            for record in self._unpacker.feed(data):  # what comes after it stays there for attach()
                assert isinstance(record, Welcome)
                return record

    def attach(self, reactor: Reactor, on_call: Callable[[Call], None], on_end: Callable[[], None]) -> None:
        """Read in ``reactor``'s loop from now on."""
        self._on_call, self._on_end, self._reactor, self._thread = on_call, on_end, reactor, get_ident()
        self._sock.setblocking(False)
        reactor.add_reader(self._sock.fileno(), self._read)
        self._feed(b"")

    @property
    def is_read_here(self) -> bool:
        """Whether the loop that reads is this thread's."""
        return self._thread == get_ident()

    def read_until(self, is_over: Callable[[], bool], seconds: float) -> None:
        """Read in place of the loop, which does not turn, until something is over: so many seconds at most."""
        import select  # no worker that gevent has patched comes here

        poll = select.poll()
        poll.register(self._sock.fileno(), select.POLLIN)
        deadline = time.monotonic() + seconds
        while not is_over() and self._sock.fileno() >= 0 and (left := deadline - time.monotonic()) > 0:
            if poll.poll(left * 1000):
                self._read()

    def send(self, record: Record) -> None:
        """Send a record, now or as soon as there is room."""
        with self._lock:
            waiting = bool(self._outgoing)
            self._outgoing += pack(record)
            if not waiting:
                self._write()

    def close(self) -> None:
        """Close this process' copy, without a word to the loop, which may be another process'."""
        self._sock.close()

    def _write(self) -> None:
        with self._lock:
            self._write_on()

    def _write_on(self) -> None:
        reactor = self._reactor
        assert reactor is not None
        with contextlib.suppress(BlockingIOError, OSError):
            while self._outgoing:
                sent = self._sock.send(self._outgoing)
                del self._outgoing[:sent]
        if self._sock.fileno() < 0:
            return
        if self._outgoing:
            reactor.add_writer(self._sock.fileno(), self._write)
        else:
            reactor.remove_writer(self._sock.fileno())

    def _read(self) -> None:
        try:
            data = self._sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        for record in self._unpacker.feed(data):
            if isinstance(record, Call):
                self._on_call(record)

    def _end(self) -> None:
        if self._reactor is not None and self._sock.fileno() >= 0:
            self._outgoing.clear()
            self._reactor.remove_reader(self._sock.fileno())
            self._reactor.remove_writer(self._sock.fileno())
            self._sock.close()
            self._on_end()
