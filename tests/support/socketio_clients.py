"""Socket.IO clients of tests: python-socketio's, which note what they are told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import engineio
import requests
import socketio
from shared_tls import shared_context

from pytest_cluster import Cluster
from pytest_cluster.waiting import poll

__all__ = ["Caller", "CallerInTwo", "Comer", "OrderedClient", "callers", "comer"]

PATIENCE: Final = 20.0


class _OrderedEngine(engineio.Client):
    """python-engineio's, in order; and it keeps its websockets, which the original leaves to the collector."""

    _ws: Any = None
    all_ws: tuple[Any, ...] = ()

    @property
    def ws(self) -> Any:
        return self._ws

    @ws.setter
    def ws(self, value: Any) -> None:
        if self._ws is not None and self._ws.sock is not None:
            self._ws.sock.close()  # at once, as the collector would: through TLS a server may wait for that
        self._ws = value
        if value is not None:
            self.all_ws = (*self.all_ws, value)

    def _trigger_event(self, event: str, *args: Any, **options: Any) -> Any:
        """Not as python-engineio has it, with a thread for each message: so their order is the server's."""
        return super()._trigger_event(event, *args, **{**options, "run_async": False})


class OrderedClient(socketio.Client):
    """A client whose handlers hear events in their order, and that says when a namespace or a connection has ended.

    python-socketio calls the handlers of "disconnect" before that has become so.
    """

    ended: Callable[[], object] = staticmethod(lambda: None)

    def _engineio_client_class(self) -> type[engineio.Client]:
        return _OrderedEngine

    def _handle_disconnect(self, namespace: str) -> None:
        super()._handle_disconnect(namespace)
        self.ended()

    def _handle_eio_disconnect(self, *reason: Any) -> None:
        super()._handle_eio_disconnect(*reason)
        self.ended()


class Caller:
    """One client.

    Args:
        url: of the server.
        transports: as python-socketio has them.
        reconnects: whether it connects again by itself.
        certificate: the file of what the server's must be signed by, where that speaks TLS.
    """

    def __init__(
        self, url: str, transports: Sequence[str], *, reconnects: bool = False, certificate: str | None = None
    ) -> None:
        self.told: list[Any] = []
        self.connects = 0
        self._changed = threading.Condition()
        self._options: dict[str, Any] = {
            "reconnection": reconnects,
            "reconnection_delay": 0.1,
            "reconnection_delay_max": 0.2,
            "randomization_factor": 0,
        }
        if certificate is not None:
            self._options["http_session"] = session = requests.Session()
            session.verify, session.trust_env = certificate, False  # the environment would be stronger
            self._options["websocket_extra_options"] = {"sslopt": {"context": shared_context(certificate)}}
        self.client = self.made()
        self.client.connect(url, transports=list(transports), wait_timeout=PATIENCE)

    def made(self) -> OrderedClient:
        """Return a client that is not connected yet."""
        client = self.make(**self._options)
        client.on("told", self.note)
        client.on("asked", lambda value: [self.sid, value])
        client.on("connect", self._connected)
        client.ended = self._ended
        return client

    def make(self, **options: Any) -> OrderedClient:
        return OrderedClient(**options)

    @property
    def sid(self) -> str:
        return self.client.get_sid()

    @property
    def worker(self) -> int:
        """The id of the worker that it is connected to, as that says."""
        return self.ask("echo", "")[0]

    def ask(self, event: str, *args: Any) -> Any:
        return self.client.call(event, args if len(args) > 1 else args[0] if args else None, timeout=PATIENCE)

    def insist(self, event: str, *args: Any) -> None:
        """Ask until there is an answer: its connection may have ended, and it does not know that yet."""

        def is_answered() -> bool:
            with suppress(socketio.exceptions.SocketIOError):
                self.client.call(event, args if len(args) > 1 else args[0], timeout=1)
                return True
            return False

        assert poll(is_answered, PATIENCE), f"it has no answer to {event}"

    def say(self, event: str, *args: Any) -> None:
        self.client.emit(event, args if len(args) > 1 else args[0])

    def wait(self, condition: Callable[[Caller], bool], what: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self), PATIENCE), f"{what}: {self.told[-5:]}"

    def wait_told(self, *values: Any) -> None:
        """Wait until it has been told these values, and nothing else, since the last time."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.told) >= len(values), PATIENCE)
            told, self.told = self.told, []
        assert told == list(values)

    def be_kicked(self) -> None:
        """Be disconnected by the server, which answers the poll that is under way."""
        self.say("kick", self.sid)
        self.wait(lambda one: not one.client.connected, "it was disconnected as it had asked")

    def close(self) -> None:
        self.client.disconnect()
        self.release()

    def release(self) -> None:
        """Close what python-socketio's client leaves to the collector."""
        engine = self.client.eio
        engine.queue.put(None)  # or its write loop may wait for thirty seconds, whoever ended it
        engine.wait()
        if engine.http is not None:
            engine.http.close()
        for websocket in engine.all_ws:
            if websocket.sock is not None:
                websocket.sock.close()

    def note(self, *values: Any) -> None:
        with self._changed:
            self.told.append(values[0] if len(values) == 1 else list(values))
            self._changed.notify_all()

    def _connected(self) -> None:
        with self._changed:
            self.connects += 1
            self._changed.notify_all()

    def _ended(self) -> None:
        with self._changed:
            self._changed.notify_all()


class CallerInTwo(Caller):
    """A client of two namespaces: what it is told in the second one comes with that namespace in front."""

    second = "/second"

    def made(self) -> OrderedClient:
        client = super().made()
        client.on("told", lambda value: self.note(self.second, value), namespace=self.second)
        return client

    @property
    def second_sid(self) -> str:
        return self.client.get_sid(self.second)

    def ask_in_second(self, event: str, *args: Any) -> Any:
        return self.client.call(event, args if len(args) > 1 else args[0], namespace=self.second, timeout=PATIENCE)


@contextmanager
def callers(
    server: Cluster | str,
    number: int,
    transports: Sequence[str] = ("websocket",),
    kind: type[Caller] = Caller,
    **options: Any,
) -> Iterator[list[Any]]:
    """Connect so many clients to a server, or to a URL, and end them; ``options`` are those of :class:`Caller`."""
    url = server if isinstance(server, str) else server.url
    made: list[Caller] = []
    try:
        for _ in range(number):
            made.append(kind(url, transports, **options))  # noqa: PERF401 - closed below
        yield made
    finally:
        for caller in made:
            caller.close()


class _Client(OrderedClient):
    """Keeps the name of its session, as the JavaScript client does."""

    pid: str | None = None

    def _handle_connect(self, namespace: str, data: Any) -> None:
        self.pid = data.get("pid")
        super()._handle_connect(namespace, data)


class Comer(Caller):
    """A client of a server with recovery, whose connection may break, and that comes back.

    Args:
        url: of the server; it may be another one when it comes back.
    """

    def __init__(self, url: str) -> None:
        self.offset: str | None = None
        self.url = url
        super().__init__(url, ["websocket"])

    def make(self, **options: Any) -> OrderedClient:
        return _Client(**options)

    def note(self, value: Any, offset: str) -> None:
        self.offset = offset
        super().note(value)

    def break_connection(self) -> None:
        self.client.eio.ws.sock.shutdown(socket.SHUT_RDWR)  # ``close`` would read what comes yet, beside who reads it
        self.wait(lambda one: not one.client.connected, "its connection broke")

    def come_back(self, **claim: Any) -> str:
        """Connect again, and say who it was; return its new id."""
        self.release()
        auth = {"pid": self.client.pid, "offset": self.offset, **claim}
        self.client = self.made()
        self.client.connect(self.url, transports=["websocket"], auth=auth, wait_timeout=PATIENCE)
        return self.sid


@contextmanager
def comer(cluster: Cluster) -> Iterator[Comer]:
    """Connect one to a server, and end it."""
    one = Comer(cluster.url)
    try:
        yield one
    finally:
        one.close()
