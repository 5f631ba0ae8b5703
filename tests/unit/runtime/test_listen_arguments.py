"""Arguments of servers as Node spells them, and what is refused by a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nodecluster_compat import dgram, http, net
from nodecluster_compat.errors import ArgumentError, ClusterError
from nodecluster_compat.runtime.servers.listen_options import ListenArguments


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
        ((ready,), (None, None, None, None, ready)),
        (("a.sock", ready), (None, "a.sock", None, None, ready)),
        ((Path("a.sock"), 5), (None, Path("a.sock"), None, 5, None)),
        (({"port": 1, "host": "h", "backlog": 3}, ready), (1, None, "h", 3, ready)),
        (({"path": "a.sock"},), (None, None, None, None, None)),
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
