"""Do to a worker's connections what some bytes say, and write down what becomes of them: C and Python do the same.

The worker is within the test: its channel, its greenlets and its requests are real, and the primary is played.
"""

from __future__ import annotations

import ctypes
import logging
import os
import re
import select
import socket
import struct
import time
from array import array
from collections.abc import Callable, Iterable
from contextlib import suppress
from fcntl import ioctl
from functools import cache
from termios import FIONREAD, TIOCOUTQ
from types import SimpleNamespace
from typing import Any, Final

import gevent
from gunicorn import http
from gunicorn.glogging import Logger
from gunicorn.http import wsgi
from in_process import ServerWorker, configured
from manual_clock import ManualClock

from nodecluster_compat._gunicorn.requests import clean_loop
from nodecluster_compat._gunicorn.requests.access_log import AccessLog
from nodecluster_compat._gunicorn.requests.clean_loop import CleanLoop
from nodecluster_compat._gunicorn.requests.environs import Environs
from nodecluster_compat._gunicorn.requests.served_listener import ServedListener
from nodecluster_compat._gunicorn.worker.fed_source import FedSource
from nodecluster_compat._gunicorn.worker.request_routing import RequestRouting
from nodecluster_compat.base.native import Choice
from nodecluster_compat.base.records import ServedAddress
from nodecluster_compat.connections.handed import Handed, read_handed, write_handed
from nodecluster_compat.connections.offers import OfferingEnd, connection_pair
from nodecluster_compat.connections.receiver import Receiver
from nodecluster_compat.gevent_runtime import lingering
from nodecluster_compat.gevent_runtime.client_gone import client_watch
from nodecluster_compat.gevent_runtime.greenlet_pool import GreenletPool
from nodecluster_compat.gevent_runtime.idle_limit import IdleLimit
from nodecluster_compat.gevent_runtime.reactor import GeventReactor
from nodecluster_compat.operations.metrics.layout import VALUES_AT
from nodecluster_compat.operations.metrics.request_meter import RequestMeter

__all__ = ["DEEDS", "LISTENER", "PATHS", "Taken", "taken", "waiting_bytes"]

PATHS: Final = (
    b"/",
    b"/raise",
    b"/wait",
    b"/steal",
    b"/pieces",
    b"/stream",
    b"/close",
    b"/fileno",
    b"/exit",
    b"/file",
    b"/big",
)
_GET: Final = b"GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n"
_DATE: Final = re.compile(rb"Date: [^\r]*")
_TURNS: Final = 4  # of the loop, behind which something more has happened, or nothing will
_PATIENCE: Final = 20.0
_SILENT_SECONDS: Final = 0.002  # after which a client that stays is not waited for: here it has nothing more to say
LISTENER: Final = 5
_PIECE_BYTES: Final = 1 << 17  # which the allocator need not ask the kernel for
_BIG: Final = b"x" * 3_000_000
_RESET: Final = struct.pack("ii", 1, 0)
_ON: Final = struct.pack("i", 1)
_setsockopt: Final = ctypes.CDLL(None).setsockopt  # of descriptors that are not this module's to wrap


def _app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path, sock = environ["PATH_INFO"], environ["gunicorn.socket"]
    if path == "/raise":
        raise ValueError(path)
    if path == "/exit":
        raise SystemExit(3)
    if path == "/wait":
        gevent.sleep(0)
    if path == "/steal":
        sock.sendall(b"taken over")
        raise StopIteration
    if path == "/close":
        sock.close()
    seen = [environ["REMOTE_ADDR"], environ["REMOTE_PORT"] == str(sock.getpeername()[1])] if path == "/" else [path]
    if path == "/fileno":
        seen.append(os.get_inheritable(sock.fileno()))
    if path == "/file":
        sock.makefile("rb")
    body = [str(seen).encode()] if path != "/big" else [_BIG]
    start_response("200 OK", [("Content-Length", str(len(body[0])))] if path != "/pieces" else [])
    return iter(body) if path == "/stream" else body


@cache
def _settings() -> Any:
    """Return gunicorn's settings, which nobody changes here: they cost as much as some inputs."""
    return configured()


class Taken:
    """A worker to which things are done.

    Args:
        choice: C or Python.
    """

    def __init__(self, choice: Choice) -> None:
        self._kept = wsgi.create, http.RequestParser, clean_loop._ThisProcess.environs
        self._silent = lingering._SILENT_SECONDS
        lingering._SILENT_SECONDS = _SILENT_SECONDS  # type: ignore[misc]
        self.memory = bytearray(VALUES_AT)
        self.worker = self._worker(choice)
        near, far = connection_pair()
        self.primary = OfferingEnd(1, near, socket.socket(fileno=os.dup(far.fileno())))
        self.served: dict[Any, Any] = {}
        self.told: list[Any] = []
        self._channel, self._choice = far, choice
        self.source = FedSource(self.worker, self._feed(), self.served, self._ended, 5.0, choice)
        self.source.begin()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.host = "127.0.0.1"  # of clients that are to come
        self.clients: list[socket.socket] = []
        self.heard: list[bytearray] = []
        self.over: set[int] = set()  # clients that have left, or heard the end

    def _worker(self, choice: Choice) -> Any:
        cfg = _settings()
        log: Any = Logger(cfg)
        log.error_log.setLevel(logging.CRITICAL)
        waits, access_log = IdleLimit(60), AccessLog(log, None)
        worker: Any = ServerWorker(_app, cfg, log, waits, access_log, 5.0)
        worker.notify = lambda: None
        worker.metering.meter = RequestMeter(memoryview(self.memory), ManualClock(), choice)
        environs = Environs(cfg, self._kept[0], {})
        wsgi.create = environs.create
        worker.clean_loop = CleanLoop(worker, environs, waits, access_log, choice)
        return worker

    def _feed(self) -> Any:
        listener = ServedListener(ServedAddress(LISTENER, socket.AF_INET, ("127.0.0.1", 8000)), self.worker.cfg)
        feed = SimpleNamespace(listeners={LISTENER: listener}, routes=None, announce=lambda: None)
        onward: Any = SimpleNamespace(ask_to_look=lambda: None, route=lambda *_: False)
        unrouted = RequestRouting((), 1, dict, onward, self.worker.cfg, self.worker.log)

        def begin(reactor: GeventReactor, take: Any, has_room: Any) -> None:
            feed.receiver = Receiver(
                self._channel, take, has_room, lambda: None, lambda: self.told.append("gone"), choice=self._choice
            )
            feed.receiver.start(reactor)
            feed.room_made = feed.receiver.room_made

        feed.begin, feed.handed = begin, lambda _, memory: read_handed(memory)
        feed.passage = lambda number, peer, handed: handed and unrouted.passage(number, peer, handed)
        return feed

    def _ended(self) -> None:
        self.served.pop(gevent.getcurrent(), None)

    # --- what is done ---------------------------------------------------------------------------

    def connect(self, number: int) -> None:
        """A client asks at once."""
        close = b"" if number % 3 else b"Connection: close\r\n"
        self._offer(_GET % (PATHS[number % len(PATHS)], close))

    def connect_silently(self, _: int) -> None:
        """A client asks nothing yet."""
        self._offer(b"")

    def begin(self, number: int) -> None:
        """A client sends the beginning of a request."""
        self._offer((_GET % (b"/", b""))[: number + 1])

    def reset(self, _: int) -> None:
        """A client has gone before it is taken."""
        self._offer(b"", is_reset=True)

    def hand(self, number: int) -> None:
        """Another worker has had it, and may have read what the client has sent."""
        peer = ("9.9.9.9", 9) if number % 2 else None
        asked = _GET % (PATHS[number % len(PATHS)], b"")
        read, waiting = (b"", asked) if number % 3 else (asked, b"")
        self._offer(waiting, handed=Handed(socket.AF_INET, peer, read))

    def ask(self, number: int) -> None:
        """A client asks again, or for the first time."""
        self._send(number, _GET % (PATHS[number // 4 % len(PATHS)], b""))

    def send(self, number: int) -> None:
        """A client sends what is no request."""
        self._send(number, b"nonsense \r\n\r\n" if number % 2 else b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc")

    def leave(self, number: int) -> None:
        if self.clients:
            self.clients[number % len(self.clients)].close()
            self.over.add(number % len(self.clients))

    def kill(self, number: int) -> None:
        greenlets = list(self.served)
        if greenlets:
            gevent.killall([greenlets[number % len(greenlets)]], block=False)

    def limit(self, number: int) -> None:
        """So many connections have room."""
        self.worker.worker_connections = number % 4

    def make_room(self, _: int) -> None:
        self.source.turn()

    def probe(self, _: int) -> None:
        self.primary.probe()

    def debug(self, number: int) -> None:
        self.worker.log.error_log.setLevel(logging.DEBUG if number % 2 else logging.CRITICAL)

    def end(self, number: int) -> None:
        """The worker drains."""
        self.worker.alive = bool(number % 2)

    # --- how ------------------------------------------------------------------------------------

    def _offer(self, data: bytes, handed: Handed | None = None, is_reset: bool = False) -> None:
        client, connection, peer = self._connected(is_reset)
        self.clients.append(client)
        self.heard.append(bytearray())
        client.sendall(data)
        client.setblocking(False)
        if is_reset:
            self._reset(client, connection)
        memory = -1 if handed is None else write_handed(handed)
        with connection, suppress(OSError):
            self.primary.offer(LISTENER, connection.fileno(), peer, memory)
        if memory >= 0:
            os.close(memory)

    def _connected(self, is_reset: bool) -> tuple[socket.socket, socket.socket, Any]:
        """Return both ends of a connection, the client's first, and its address."""
        client = socket.socket()
        client.bind((self.host, 0))
        client.connect(self._listening.getsockname())
        return client, *self._listening.accept()

    def _reset(self, client: socket.socket, connection: socket.socket) -> None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        client.close()
        self.over.add(len(self.clients) - 1)
        poll = select.poll()
        poll.register(connection, select.POLLERR)
        poll.poll()

    def _send(self, number: int, data: bytes) -> None:
        if self.clients:
            with suppress(OSError):
                self.clients[number % len(self.clients)].sendall(data)

    def turn(self) -> None:
        """Let the worker do all that it can: until nothing is under way, and nothing more happens."""
        patience = time.monotonic() + _PATIENCE
        is_over = False
        while not is_over and time.monotonic() < patience:
            was_settled, before = self._is_settled(), self.outcome()
            for _ in range(_TURNS):
                gevent.idle()
                for number in range(len(self.clients)):
                    if number not in self.over:
                        self._hear(number)
            self._hear_worker()
            is_over = was_settled and before == self.outcome() and self._is_settled()

    def _is_settled(self) -> bool:
        """Whether all that was sent has come and was heard, and all that has ended is seen to have."""
        ours = [client._descriptor if client._descriptor >= 0 else client._sock.fileno() for client in self._held()]
        clients = [client.fileno() for number, client in enumerate(self.clients) if number not in self.over]
        for fd in (*ours, *clients):
            _acknowledge(fd)
        return (
            len(clients) == len(self.served)
            and not any(waiting_bytes(TIOCOUTQ, fd) for fd in (*ours, *clients))
            and not any(waiting_bytes(FIONREAD, fd) for fd in clients)
        )

    def _held(self) -> list[Any]:
        return [client for client in self.served.values() if client is not None]

    def _hear_worker(self) -> None:
        with suppress(EOFError):
            while (received := self.primary.read()) is not None:
                packet, fds = received
                self.told.append((packet, len(fds)))
                for fd in fds:
                    os.close(fd)

    def _hear(self, number: int) -> None:
        try:
            while data := self.clients[number].recv(_PIECE_BYTES):
                self.heard[number] += data
        except BlockingIOError:
            return
        except OSError:
            pass
        self.over.add(number)

    def outcome(self) -> list[Any]:
        """What can be seen of it now."""
        heard = [(len(data), _DATE.sub(b"", bytes(data[:600]))) for data in self.heard]
        metering = self.worker.metering
        counts = [metering.meter._numbers[number] for number in range(10)]
        return [heard, list(self.told), len(self.served), len(metering.slots), counts, self.worker.nr]

    def close(self) -> None:
        """End all of it; every descriptor is closed then."""
        for number, client in enumerate(self.clients):
            client.close()
            self.over.add(number)
        self.turn()
        gevent.killall(list(self.served), block=False)
        self.turn()
        self._listening.close()
        self.primary.close()
        while self.told[-1:] != ["gone"]:
            gevent.idle()
        GreenletPool.end_parked()  # they know the worker, and wait for ever
        for client in list(client_watch._new) + list(client_watch._known):
            client_watch.remove(client)
        self.worker.log.error_log.setLevel(logging.WARNING)
        wsgi.create, http.RequestParser, clean_loop._ThisProcess.environs = self._kept
        lingering._SILENT_SECONDS = self._silent  # type: ignore[misc]


DEEDS: Final[tuple[Callable[[Taken, int], None], ...]] = (
    Taken.connect,
    Taken.connect_silently,
    Taken.ask,
    Taken.begin,
    Taken.reset,
    Taken.hand,
    Taken.send,
    Taken.leave,
    Taken.kill,
    Taken.limit,
    Taken.make_room,
    Taken.probe,
    Taken.debug,
    Taken.end,
)


def _acknowledge(fd: int) -> None:
    """Let TCP say now what has come: it would wait 40 ms for something to say it with."""
    if fd >= 0:
        _setsockopt(fd, socket.IPPROTO_TCP, socket.TCP_QUICKACK, _ON, len(_ON))


def waiting_bytes(which: int, fd: int) -> int:
    """Return how many bytes wait to be sent, or to be received."""
    waiting = array("i", [0])
    with suppress(OSError, ValueError):
        ioctl(fd, which, waiting)
    return waiting[0]


def taken(data: bytes, choice: Choice) -> list[Any]:
    """Do what the bytes say, one deed each; return what could be seen after each of them."""
    one = Taken(choice)
    seen = []
    try:
        for byte in data:
            DEEDS[byte % len(DEEDS)](one, byte // len(DEEDS))
            one.turn()
            seen.append(one.outcome())
    finally:
        one.close()
    return [*seen, one.outcome()]
