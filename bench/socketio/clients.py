"""Have python-socketio's clients do what those of ``clients.js`` do: URL TRANSPORT CONNECTIONS CLIENTS EVENTS PAUSE.

TRANSPORT is ``polling``, ``upgrade`` or ``websocket``; each client has connections of its own, whatever CONNECTIONS
says.  Prints one line of JSON: how many of what has come.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import engineio
import requests
import socketio
import websocket

PATIENCE: Final = float(os.environ.get("PATIENCE", "30"))
TRANSPORTS: Final = {"polling": ["polling"], "upgrade": ["polling", "websocket"], "websocket": ["websocket"]}
AT_ONCE: Final = 50


class _InOrder(engineio.Client):
    def _trigger_event(self, event: str, *args: Any, **options: Any) -> Any:
        """Not as python-engineio has it, with a thread for each message: so their order is the server's."""
        return super()._trigger_event(event, *args, **{**options, "run_async": False})


class _InOrderClient(socketio.Client):
    def _engineio_client_class(self) -> type[engineio.Client]:
        return _InOrder


class _OneAtATime(websocket.WebSocket):
    """A websocket through TLS, of which python-engineio reads in one thread and writes in another.

    By OpenSSL's documentation a session is not for two threads at a time.  On a busy machine reads were told the end of
    connections that stood; with one at a time none was.
    """

    _turn: threading.Lock | None = None

    def _recv(self, bufsize: int) -> bytes:
        if not isinstance(self.sock, ssl.SSLSocket) or not self.connected:
            return super()._recv(bufsize)
        coming = select.poll()
        coming.register(self.sock, select.POLLIN)
        while True:
            with self._own_turn(), contextlib.suppress(ssl.SSLWantReadError):
                return self._recv_at_once(self.sock, bufsize)
            if not coming.poll(1000 * (self.sock.gettimeout() or PATIENCE)):
                raise websocket.WebSocketTimeoutException

    def _recv_at_once(self, sock: ssl.SSLSocket, bufsize: int) -> bytes:
        patience = sock.gettimeout()
        sock.settimeout(0)
        try:
            data = sock.recv(bufsize)
        finally:
            sock.settimeout(patience)
        if not data:
            raise websocket.WebSocketConnectionClosedException
        return data

    def _send(self, data: bytes) -> int:
        with self._own_turn():
            return super()._send(data)

    def _own_turn(self) -> threading.Lock:
        self._turn = self._turn or threading.Lock()  # the handshake comes first, and in one thread
        return self._turn


class Client:
    """One client."""

    def __init__(self, url: str, transport: str) -> None:
        self.transport = transport
        self.heard: dict[str, list[Any]] = {}
        self.workers: set[Any] = set()
        self.lost = ""
        self.sid = ""
        self._changed = threading.Condition()
        session = requests.Session()
        session.verify, session.trust_env = os.environ.get("NODE_EXTRA_CA_CERTS") or True, False
        self.socket = _InOrderClient(
            reconnection=False, http_session=session, websocket_extra_options={"class_": _OneAtATime}
        )
        self.socket.on("asked", lambda value: [self.sid, value])
        self.socket.on("*", self._hear)
        self.socket.on("disconnect", self._disconnected)
        try:
            self.socket.connect(url, transports=TRANSPORTS[transport], wait_timeout=PATIENCE)
            self.sid = self.socket.get_sid() or ""
        except socketio.exceptions.ConnectionError as error:
            self.lost = str(error)

    def _hear(self, what: str, value: Any) -> None:
        with self._changed:
            self.heard.setdefault(what, []).append(value)
            self._changed.notify_all()

    def _disconnected(self, reason: str) -> None:
        with self._changed:
            self.lost = str(reason)
            self._changed.notify_all()

    def ask(self, what: str, *args: Any) -> Any:
        """Emit, and return the answer; ``None`` where none comes."""
        with contextlib.suppress(socketio.exceptions.SocketIOError):
            return self.socket.call(what, args if len(args) > 1 else args[0] if args else None, timeout=PATIENCE)
        return None

    def tell(self, *args: Any) -> None:
        """Emit; the answer is of no interest."""
        with contextlib.suppress(socketio.exceptions.SocketIOError):
            self.socket.emit("tell", args)

    def hears(self, what: str) -> bool:
        """Whether it hears that, once."""
        self._wait(lambda: what in self.heard)
        return len(self.heard.get(what, ())) == 1

    def is_kicked(self) -> bool:
        """Whether the server disconnects it."""
        self._wait(lambda: bool(self.lost))
        return self.lost == "server disconnect"

    def _wait(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: condition() or bool(self.lost), PATIENCE)

    def echo(self, events: int) -> int:
        """Return how many echoes came back as they were sent."""
        right = 0
        for number in range(events):
            answer = self.ask("echo", number)
            if answer and answer[1] == number:
                right += 1
                self.workers.add(answer[0])
        return right

    @property
    def is_upgraded(self) -> bool:
        """Whether it is connected as it should be by now."""
        return self.socket.transport() == TRANSPORTS[self.transport][-1]


def meet(clients: list[Client], each: Callable[[Callable[..., Any]], list[Any]]) -> dict[str, Any]:
    """Return what came of all that clients tell each other; ``each`` calls something with each and its index."""
    room, result = f"room-{os.getpid()}-{time.time()}", {}
    first, numbered = clients[0], {one: number for number, one in enumerate(clients)}

    def after(one: Client) -> Client:
        return clients[(numbered[one] + 1) % len(clients)]

    def ask(one: Client) -> bool:
        return bool(one.ask("ask", after(one).sid, numbered[one]) == [after(one).sid, numbered[one]])

    def put(one: Client) -> None:
        one.ask("put", after(one).sid, f"{room}-{numbered[one]}")
        one.tell(f"{room}-{numbered[one]}", "entered", numbered[one])

    result["whence"] = sorted({",".join(one or ("nobody",)) for one in each(lambda one: one.ask("whence"))})
    for name in (room, f"{room}-all"):
        each(lambda one, name=name: one.ask("join", name))
    first.tell(room, "text", "hello")
    first.tell(room, "binary", b"\0\xff")
    first.tell(room, "told", 1)
    result["told"] = sum(each(lambda one: one.hears("told")))
    result["broadcast"] = sum(each(lambda one: one.hears("text")))
    result["binary"] = sum(each(lambda one: one.hears("binary") and one.heard["binary"] == [b"\0\xff"]))
    result["asked"] = sum(each(ask))
    each(put)
    result["entered"] = sum(each(lambda one: one.hears("entered")))
    first.ask("close", room)
    first.ask("tell", room, "leaked", 1)
    first.tell(f"{room}-all", "behind", 1)
    result["behind"] = sum(each(lambda one: one.hears("behind")))
    result["leaked"] = sum("leaked" in one.heard for one in clients)
    for one in clients[:-1:2]:
        with contextlib.suppress(socketio.exceptions.SocketIOError):  # it has lost its session, which is told below
            one.socket.emit("kick", after(one).sid)
    result["kicked"] = sum(each(lambda one: bool(numbered[one] % 2) and one.is_kicked()))
    return result


def main() -> None:
    url, transport, _, *numbers = sys.argv[1:]
    count, events, pause = map(int, numbers)
    with ThreadPoolExecutor(count) as pool, ThreadPoolExecutor(AT_ONCE) as doors:
        coming = []
        for _ in range(count):
            coming.append(doors.submit(Client, url, transport))
            time.sleep(pause / 1000)
        made = [one.result() for one in coming]
        clients = [one for one in made if one.sid]
        result: dict[str, Any] = {"live": len(clients)}

        def each(act: Callable[..., Any]) -> list[Any]:
            return list(pool.map(act, clients))

        result["echoes"] = sum(each(lambda one: one.echo(events)))
        share = Counter(worker for one in clients for worker in one.workers)
        result["workers"], result["most"] = len(share), max(share.values(), default=0)
        result["faithful"] = sum(len(one.workers) == 1 for one in clients)
        result["upgraded"] = sum(one.is_upgraded for one in clients)
        if len(clients) == count:
            result |= meet(clients, each)
    lost = sorted({one.lost for one in made} - {"", "server disconnect"})
    print(json.dumps({**result, "lost": lost}), flush=True)
    os._exit(0)  # of those who leave by polling, some servers answer no poll


if __name__ == "__main__":
    main()
