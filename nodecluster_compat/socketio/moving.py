"""Close the Engine.IO connections of a worker that leaves, so that its clients go on with another one at once.

A client whose *Engine.IO* connection breaks connects again by itself.  One that Socket.IO disconnects does not, nor
does the Python client when Engine.IO tells it that the server closes: so nobody is told anything.  What still begins a
session here, on a connection that was kept alive, is broken as well, as long as the worker lives.

:func:`move_clients` and its twin for tasks never end.  A worker that ends knows them by the name of this module, and
waits for neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

__all__ = ["SHUTTING_DOWN", "move_clients", "move_clients_in_task"]

_LOOK_SECONDS: Final = 0.1  # between two looks for sessions that have begun since
_MOST_CLOSERS: Final = 16  # at a time: a handler of ``disconnect`` that is slow holds up a sixteenth of the clients

SHUTTING_DOWN: Final = "server shutting down"
"""What handlers of ``disconnect`` are told as the reason, as on Node."""


def move_clients(server: Any, close_all: Callable[[list[Any]], None]) -> None:  # noqa: ANN401 - no types there
    """Close the connections of a Socket.IO server, and those that come, for as long as the worker lives.

    Args:
        server: waits in greenlets or threads.
        close_all: closes these, one after another; called in the background.
    """
    while True:
        _begin_closing(server, close_all)
        server.sleep(_LOOK_SECONDS)


async def move_clients_in_task(server: Any, close_all: Callable[[list[Any]], Any]) -> None:  # noqa: ANN401 - as above
    """As :func:`move_clients`, of a server that runs on an event loop; ``close_all`` is a coroutine function."""
    while True:
        _begin_closing(server, close_all)
        await server.sleep(_LOOK_SECONDS)


def _begin_closing(server: Any, close_all: Callable[[list[Any]], Any]) -> None:  # noqa: ANN401 - as above
    for part in _shares(_open_sockets(server.eio)):
        server.start_background_task(close_all, part)


def _open_sockets(eio: Any) -> list[Any]:  # noqa: ANN401 - Engine.IO has no types
    return [socket for socket in list(eio.sockets.values()) if not socket.closed and not socket.closing]


def _shares(sockets: list[Any]) -> Iterable[list[Any]]:
    return [part for start in range(_MOST_CLOSERS) if (part := sockets[start::_MOST_CLOSERS])]
