"""Arguments of servers as Node spells them, and what is refused by a sentence."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nodecluster_compat import dgram, http, net
from nodecluster_compat.errors import ArgumentError, ClusterError
from nodecluster_compat.gevent_runtime.servers.connection_options import ConnectionOptions
from nodecluster_compat.gevent_runtime.servers.datagram_arguments import datagram_arguments
from nodecluster_compat.gevent_runtime.servers.listen_options import ListenArguments


def ready() -> None:
    """A callback."""


@pytest.mark.parametrize(
    ("spelt", "meant"),
    [
        ((8000,), (8000, None, None, None, None)),
        ((8000, ready), (8000, None, None, None, ready)),
        ((8000, "h", ready), (8000, None, "h", None, ready)),
        ((8000, "h", 5, ready), (8000, None, "h", 5, ready)),
        ((8000, 5, ready), (8000, None, None, 5, ready)),
        (("8000", ready), ("8000", None, None, None, ready)),
        (("0x1F90",), ("0x1F90", None, None, None, None)),
        (("-1",), (None, "-1", None, None, None)),
        (("\u00b2",), (None, "\u00b2", None, None, None)),
        ((ready,), (None, None, None, None, ready)),
        (("a.sock", ready), (None, "a.sock", None, None, ready)),
        ((Path("a.sock"), 5), (None, Path("a.sock"), None, 5, None)),
        (({"port": 1, "host": "h", "backlog": 3}, ready), (1, None, "h", 3, ready)),
        (({"path": "a.sock"}, ready), (None, "a.sock", None, None, ready)),
        (({"port": None},), (None, None, None, None, None)),
    ],
)
def test_every_spelling_of_listen(spelt: tuple[Any, ...], meant: tuple[Any, ...]) -> None:
    """Port, path, host, backlog and callback end in their own places."""
    given = ListenArguments.of(*spelt, *[None] * (4 - len(spelt)))
    assert (given.port, given.path, given.host, given.backlog, given.callback) == meant


def test_options_in_both_spellings() -> None:
    """Node's names and ours; what says nothing is left out."""
    given = ListenArguments.of({"ipv6Only": True, "reuse_port": True, "fd": 3, "path": None}, None, None, None)
    assert given.options == {"ipv6_only": True, "reuse_port": True, "fd": 3}


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "port": (lambda: net.create_server().listen(70000), "expected a port"),
    "port of a type": (lambda: net.create_server().listen(1.5), "expected a port"),  # type: ignore[arg-type]
    "port as list": (lambda: net.create_server().listen([80]), "expected a port"),  # type: ignore[arg-type]
    "host": (lambda: net.create_server().listen(80, ["h"]), "as host"),  # type: ignore[arg-type]
    "backlog": (lambda: net.create_server().listen(80, "h", "5"), "as backlog"),  # type: ignore[arg-type]
    "callback": (lambda: net.create_server().listen(80, callback=5), "callback of listen"),  # type: ignore[arg-type]
    "two callbacks": (lambda: net.create_server().listen(80, ready, callback=ready), "only one"),
    "after the callback": (lambda: net.create_server().listen(80, ready, 5), "callback as the last argument"),
    "option": (lambda: net.create_server().listen({"prt": 80}), "did you mean 'port'?"),
    "fd": (lambda: net.create_server().listen(fd="3"), "expected a descriptor"),  # type: ignore[arg-type]
    "path": (lambda: net.create_server().listen(path=5), "expected a path"),  # type: ignore[arg-type]
    "handler": (lambda: net.create_server(5), "the handler of connections"),  # type: ignore[arg-type]
    "max_connections": (lambda: setattr(net.create_server(), "max_connections", "5"), "as max_connections"),
    "close": (lambda: net.create_server().close(5), "callback of close"),  # type: ignore[arg-type]
    "from_fd": (lambda: net.from_fd("x"), "expected a descriptor"),  # type: ignore[arg-type]
    "application": (lambda: http.create_server(5), "expected a callable as a WSGI"),  # type: ignore[arg-type]
    "application of one argument": (lambda: http.create_server(lambda request: []), "environ, start_response"),
    "kind": (lambda: dgram.create_socket("tcp"), "expected 'udp4' or 'udp6'"),
    "kind of a type": (lambda: dgram.create_socket(["udp4"]), "expected 'udp4'"),  # type: ignore[arg-type]
    "no kind": (lambda: dgram.create_socket({}), "expected 'udp4' or 'udp6'"),
    "socket option": (lambda: dgram.create_socket({"typ": "udp4"}), "did you mean 'type'?"),
    "no place": (lambda: net.create_server().listen({"backlog": 5}), "a port, a path or an fd"),
    "fraction": (lambda: net.create_server().listen("1.5"), "expected a port"),
    "blank": (lambda: net.create_server().listen(" "), "expected a port"),
    "bind": (lambda: dgram.create_socket("udp4").bind("x"), "expected a port"),
    "bind address": (lambda: dgram.create_socket("udp4").bind(0, 5), "as host"),  # type: ignore[arg-type]
    "bind option": (lambda: dgram.create_socket("udp4").bind({"adress": "x"}), "did you mean 'address'?"),
    "send number": (lambda: dgram.create_socket("udp4").send(5, 80), "bytes or text"),  # type: ignore[arg-type]
    "send to 0": (lambda: dgram.create_socket("udp4").send(b"", 0), "from 1 to 65535"),
    "send callback": (lambda: dgram.create_socket("udp4").send(b"", 80, "h", 5), "callback of send"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_argument_is_refused_where_the_call_is_made(name: str) -> None:
    """A sentence of ours; nothing was begun."""
    call, sentence = REFUSED[name]
    with pytest.raises(ClusterError, match=sentence):
        call()


async def asgi(scope: object, receive: object, send: object) -> None:
    """An application of another kind."""


def test_asgi_application_is_refused() -> None:
    """It is a coroutine function, which nothing awaits."""
    with pytest.raises(ArgumentError, match="coroutine function asgi"):
        http.create_server(asgi)


@pytest.mark.parametrize(
    ("spelt", "meant"),
    [
        ((b"xy", 5), (b"xy", 5, None, None)),
        (("xy", 5, ready), (b"xy", 5, None, ready)),
        ((["x", b"y"], 5, "h", ready), (b"xy", 5, "h", ready)),
        ((b"xyz", 1, 2, 5), (b"yz", 5, None, None)),
        ((b"xyz", 0, 1, 5, ready), (b"x", 5, None, ready)),
        (("xyz", 0, 3, 5, "h", ready), (b"xyz", 5, "h", ready)),
        (("xyz", 0, 0, 5, "h"), (b"", 5, "h", None)),
    ],
)
def test_every_spelling_of_a_datagram(spelt: tuple[Any, ...], meant: tuple[Any, ...]) -> None:
    """Port and address follow the data, or its offset and length."""
    data, port, address, callback, *rest = (*spelt, None, None)[: max(4, len(spelt))]
    assert datagram_arguments(data, port, address, callback, tuple(rest)) == meant


@pytest.mark.parametrize(
    "spelt", [("xyz", 2, 2, 5), ("xyz", -1, 1, 5), (["x"], 0, 1, 5), ("x", 0, 1, 5, "h", ready, 1)]
)
def test_part_of_a_datagram_that_is_not_there_is_refused(spelt: tuple[Any, ...]) -> None:
    """Where the call is made."""
    with pytest.raises(ArgumentError, match="expected"):
        dgram.create_socket("udp4").send(*spelt)


def test_servers_take_the_options_of_connections_first() -> None:
    """As in Node; of HTTP those that are gunicorn's settings are refused by what to write instead."""

    def application(environ: object, start_response: object) -> list[bytes]:
        return []

    net.create_server({"allowHalfOpen": True, "noDelay": True, "keepAliveInitialDelay": 1500}, lambda sock: None)
    net.Server({"pauseOnConnect": True})
    http.create_server({"keepAlive": True}, application)
    assert isinstance(http.Server(application), type(http.create_server(application)))
    with pytest.raises(ArgumentError, match="did you mean 'no_delay'"):
        net.create_server({"nodelay": True})
    with pytest.raises(ArgumentError, match=r"setup_primary\(keepalive=5, in seconds\)"):
        http.create_server({"keepAliveTimeout": 5000}, application)
    with pytest.raises(ArgumentError, match="expected a callable as a WSGI application"):
        http.create_server({"keepAlive": True})
    with pytest.raises(ArgumentError, match="expected a callable as the callback of get_connections"):
        net.create_server().get_connections(None)  # type: ignore[arg-type]


def test_options_are_set_on_the_connection() -> None:
    """Of TCP; a unix socket has none of them."""
    options = ConnectionOptions.of({"noDelay": True, "keepAlive": True, "keepAliveInitialDelay": 7000})
    with socket.socket() as client, socket.socket(socket.AF_UNIX) as other:
        options.apply(client)
        options.apply(other)
        assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 7


@pytest.mark.parametrize("delay", [32_768_000, 1e300, float("inf")])
def test_a_delay_that_is_too_long_for_the_system(delay: float) -> None:
    """Is the longest, in place of an error in each connection."""
    with socket.socket() as client:
        ConnectionOptions.of({"keepAlive": True, "keepAliveInitialDelay": delay}).apply(client)
        assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 32767
