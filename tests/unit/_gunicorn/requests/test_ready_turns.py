"""Connections that are ready at the same time: each is served in its own greenlet, in C without the hub in between."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import gevent
import greenlet
import pytest
from gevent.event import Event
from gunicorn.config import Config
from gunicorn.http import message
from in_process import ADDRESS, LAST, PATIENCE, PEER, HttpServed, quiet_gunicorn

from nodecluster_compat._gunicorn.requests.clean_loop import CleanLoop
from nodecluster_compat.base.native import PYTHON, Choice, in_force
from nodecluster_compat.base.records import ServedAddress
from nodecluster_compat.gevent_runtime.client_socket import ClientSocket

needs_native = pytest.mark.skipif(in_force().module is None, reason=str(in_force()))
both_ways = pytest.mark.parametrize(
    "choice", [pytest.param(in_force(), id="in force"), pytest.param(PYTHON, id="python")]
)
pytestmark = [
    pytest.mark.skipif(
        not getattr(message, "_check_fast_parser", lambda _: False)(Config()),
        reason="this gunicorn has no C parser, or gunicorn_h1c is not installed",
    ),
    pytest.mark.usefixtures("_quiet"),
]

GET: Final = b"GET /%d HTTP/1.1\r\nHost: example.test\r\nX-Field: value\r\n\r\n"
END: Final = LAST.replace(b"/last", b"/9")


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    with quiet_gunicorn():
        yield


class Clients:
    """Connections of one server that have been answered once, and wait for the next request.

    Args:
        choice: C or Python.
        count: how many.
        serve: runs what serves a connection in a greenlet, as :func:`gevent.spawn`.

    Attributes:
        served: the number in each request's path, and the greenlet that it was served in.
        meanwhile: what the application does by such a number.
        greenlets: those of the connections.
        servers: their sockets.
    """

    def __init__(self, choice: Choice, count: int, serve: Callable[..., Any] = gevent.spawn) -> None:
        self.served: list[tuple[int, Any]] = []
        self.meanwhile: dict[int, Callable[[], object]] = {}
        self._one = HttpServed(self._answer, has_loop=True)
        old: Any = self._one.handler.clean_loop
        self._one.handler.clean_loop = CleanLoop(
            self._one.handler, old.environs, old.waits, self._one.access_log, choice
        )
        self.waits = old.waits
        self._one.ask(GET % 9, END)  # what is new is Python's
        self._theirs: list[socket.socket] = []
        self.servers: list[Any] = []
        self.greenlets = [serve(self._one.handler.serve, *self._connected()) for _ in range(count)]
        gevent.sleep(0)
        self.ask(range(count))
        self.served.clear()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        number = int(environ["PATH_INFO"][1:])
        self.served.append((number, gevent.getcurrent()))
        self.meanwhile.get(number, int)()
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    def _connected(self) -> tuple[Any, ...]:
        ours, theirs = socket.socketpair()
        theirs.settimeout(PATIENCE)
        self._theirs.append(theirs)
        self.servers.append(ClientSocket(socket.AF_UNIX, socket.SOCK_STREAM, 0, ours.detach()))
        return ServedAddress(0, socket.AF_INET, ADDRESS), self.servers[-1], PEER

    def send(self, numbers: Iterable[int]) -> None:
        """Let these clients ask for something, all before the server looks."""
        for number in numbers:
            self._theirs[number].send(GET % number)

    def hear(self, numbers: Iterable[int]) -> list[bytes]:
        """Return what these clients hear, and let the server wait again."""
        heard = [gevent.get_hub().threadpool.apply(self._theirs[number].recv, (4096,)) for number in numbers]
        gevent.sleep(0)
        return heard

    def ask(self, numbers: Iterable[int]) -> None:
        """Let these clients be answered."""
        numbers = list(numbers)
        self.send(numbers)
        assert all(heard.startswith(b"HTTP/1.1 200 OK") for heard in self.hear(numbers))

    @property
    def numbers(self) -> list[int]:
        """The numbers in the requests that were served."""
        return sorted(number for number, _ in self.served)

    @property
    def connections(self) -> list[Any]:
        """What their watchers call."""
        return [server._read_event.callback for server in self.servers]

    def leave(self) -> None:
        """Let all clients leave, before the server looks."""
        for theirs in self._theirs:
            theirs.close()

    def close(self) -> None:
        """Let all clients leave, and wait until they are gone."""
        self.leave()
        gevent.joinall(self.greenlets, timeout=PATIENCE)


def switches(act: Callable[[], object]) -> list[tuple[Any, Any]]:
    """Return who has switched to whom."""
    noted: list[tuple[Any, Any]] = []
    old = greenlet.settrace(lambda _, pair: noted.append(pair))
    try:
        act()
    finally:
        greenlet.settrace(old)
    return noted


@both_ways
def test_each_is_served_in_its_own_greenlet(choice: Choice) -> None:
    clients = Clients(choice, 3)
    clients.ask(range(3))
    clients.ask([2, 0])
    assert clients.numbers == [0, 0, 1, 2, 2]
    assert all(served is clients.greenlets[number] for number, served in clients.served)
    clients.close()


@needs_native
def test_one_resumes_the_next() -> None:
    clients = Clients(in_force(), 3)
    noted = switches(lambda: clients.ask(range(3)))
    direct = [pair for pair in noted if pair[0] in clients.greenlets and pair[1] in clients.greenlets]
    assert len(direct) == 2
    assert len([pair for pair in noted if pair[1] in clients.greenlets]) == 3
    clients.close()


@needs_native
def test_nobody_has_the_greenlet_that_it_resumed() -> None:
    """Or that could not serve another connection; nor has anybody its connection."""
    clients = Clients(in_force(), 3)
    known = [*clients.greenlets, *clients.connections]
    before = [sys.getrefcount(one) for one in known]
    clients.ask(range(3))
    clients.served.clear()
    assert [sys.getrefcount(one) for one in known] == before
    clients.close()


@both_ways
def test_application_that_waits_holds_nobody_up(choice: Choice) -> None:
    clients = Clients(choice, 3)
    go_on = Event()
    clients.meanwhile = dict.fromkeys(range(3), go_on.wait)
    clients.send(range(3))
    with gevent.Timeout(PATIENCE):
        while len(clients.served) < 3:
            gevent.sleep(0)
    go_on.set()
    assert all(heard.endswith(b"ok") for heard in clients.hear(range(3)))
    clients.close()


@needs_native
def test_who_was_woken_by_something_else_is_passed_over() -> None:
    """Its place in the line is nobody's."""
    clients = Clients(in_force(), 3)
    connections = clients.connections

    def wake() -> None:
        for one in connections:
            one()
        clients.greenlets[1].throw(OSError("woken"))

    clients.send([0, 2])
    gevent.get_hub().loop.run_callback(wake)
    clients.hear([0, 2])
    assert clients.numbers == [0, 2]
    assert clients.greenlets[1].dead
    clients.ask([0, 2])
    clients.close()


@needs_native
def test_who_waits_again_keeps_the_place() -> None:
    """Nothing has come; it is resumed once."""
    clients = Clients(in_force(), 2)
    connections = clients.connections
    before = [sys.getrefcount(one) for one in connections]

    def wake() -> None:
        connections[0]()
        clients.greenlets[0].switch()
        connections[0]()
        connections[0]()
        connections[1]()

    def turn() -> None:
        gevent.get_hub().loop.run_callback(wake)
        gevent.sleep(0)
        gevent.sleep(0)

    noted = switches(turn)
    assert [pair[1] for pair in noted if pair[1] in clients.greenlets] == [clients.greenlets[0], *clients.greenlets]
    assert [sys.getrefcount(one) for one in connections] == before
    clients.ask(range(2))
    clients.close()


@needs_native
def test_what_a_watcher_has_called_resumes_nobody_afterwards() -> None:
    """Whoever has kept it: the application waits for something else by now, or the connection has ended."""
    clients = Clients(in_force(), 2)
    kept = clients.connections[0]

    def resumed() -> list[Any]:
        noted = switches(lambda: (kept(), gevent.sleep(0), gevent.sleep(0)))
        return [pair for pair in noted if pair[1] in clients.greenlets]

    go_on = Event()
    clients.meanwhile = {0: go_on.wait}
    clients.send([0])
    with gevent.Timeout(PATIENCE):
        while not clients.served:
            gevent.sleep(0)
    assert resumed() == []
    go_on.set()
    clients.hear([0])
    clients.close()
    assert resumed() == []


@needs_native
def test_greenlet_that_ends_by_an_exception_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub reports it."""
    told: list[object] = []

    def spawn(serve: Callable[..., None], *job: object) -> Any:
        def run() -> None:
            serve(*job)
            raise RuntimeError("ended")

        one = greenlet.greenlet(run, gevent.get_hub())
        gevent.get_hub().loop.run_callback(one.switch)
        return one

    clients = Clients(in_force(), 3, spawn)
    monkeypatch.setattr(gevent.get_hub(), "handle_error", lambda *error: told.append(error[1]))
    clients.leave()
    with gevent.Timeout(PATIENCE):
        while not all(one.dead for one in clients.greenlets):
            gevent.sleep(0)
    assert told == [RuntimeError] * 3


@both_ways
def test_connection_that_is_closed_elsewhere_ends(choice: Choice) -> None:
    clients = Clients(choice, 2)
    clients.servers[0].close()
    clients.greenlets[0].join(PATIENCE)
    assert clients.greenlets[0].dead
    clients.ask([1])
    clients.close()


@needs_native
def test_child_serves_nobody_of_the_line() -> None:
    clients = Clients(in_force(), 3)
    told, tell = os.pipe()

    def fork() -> None:
        clients.meanwhile.clear()
        if os.fork() == 0:
            try:
                gevent.sleep(0)
                os.write(tell, b"%d" % len(clients.served))
            finally:
                os._exit(0)

    clients.meanwhile = dict.fromkeys(range(3), fork)
    clients.ask(range(3))
    assert clients.numbers == [0, 1, 2]
    os.close(tell)
    assert gevent.get_hub().threadpool.apply(os.read, (told, 9)) == b"1"
    os.close(told)
    os.wait()
    clients.close()


@needs_native
def test_object_that_was_not_begun_is_nobodys() -> None:
    turn = in_force().module.CleanTurn()  # type: ignore[union-attr]
    with pytest.raises(AttributeError):
        turn()
    with pytest.raises(AttributeError):
        turn.__self__  # noqa: B018 - it is looked for
