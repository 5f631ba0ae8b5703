"""Let ``pytest_cluster`` into the processes of a server under test: the one door between the two packages.

When the plugin's token is in the environment, every process of the cluster has an agent that connects *out* to the
test: the test sees the worker behind each response, runs code in a process, holds it at a step.  Nothing listens for
it, nothing of it is loaded without the token (``tests/integration/test_test_mode.py``), and a token that no plugin
made is refused.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .base.variables import TEST_CONTROL, TEST_TOKEN

if TYPE_CHECKING:
    from .base.loop import Loop
    from .operations.desk import Desk

__all__ = [
    "abandon",
    "connect_worker",
    "enter_primary",
    "enter_worker",
    "is_on",
    "mark",
    "page_fields",
    "reach",
    "wrap",
    "wrap_asgi",
]

_Client = TypeVar("_Client")

_TOKEN_DIGITS: Final = 32


def is_on() -> bool:
    """Whether the test that started this server wants to see inside: a token, and a socket that exists."""
    token = os.environ.get(TEST_TOKEN, "")
    if len(token) < _TOKEN_DIGITS or not all(digit in "0123456789abcdef" for digit in token):
        return False
    return os.path.exists(os.environ.get(TEST_CONTROL, ""))


class _ThisProcess:
    """The plugin's part, once it is loaded; a process that is not under test never has it."""

    agent: Any = None


def enter_primary(loop: Loop, desk: Desk) -> None:
    """Note that this process is a primary; it is under test where :func:`is_on` says so."""
    if is_on():
        _ThisProcess.agent = importlib.import_module("pytest_cluster.inside")
        _ThisProcess.agent.enter_primary(loop, desk)


def enter_worker(worker_id: int) -> None:
    """Note that this process was forked to be a worker."""
    if _ThisProcess.agent is not None:
        _ThisProcess.agent.enter_worker(worker_id)


def connect_worker(host: object) -> None:
    """The worker has a loop now."""
    if _ThisProcess.agent is not None:
        _ThisProcess.agent.connect(host)


def abandon() -> None:
    """In a forked child: nothing of it is the child's."""
    if _ThisProcess.agent is not None:
        _ThisProcess.agent.leave()


def reach(step: str) -> None:
    """Say that this process has come to a step, at which a test may hold it."""
    if _ThisProcess.agent is not None:
        _ThisProcess.agent.reach(step)


def wrap(application: Callable[..., Any]) -> Callable[..., Any]:
    """Return the application as it is served under test, or as it is."""
    if _ThisProcess.agent is None:
        return application
    wrapped: Callable[..., Any] = _ThisProcess.agent.wrap(application)
    return wrapped


def wrap_asgi(application: Any) -> Any:  # noqa: ANN401 - an ASGI application
    """Return the ASGI application as it is served under test, or as it is."""
    return application if _ThisProcess.agent is None else _ThisProcess.agent.wrap_asgi(application)


def page_fields() -> tuple[tuple[str, str], ...]:
    """Return the fields that responses of the server's own have under test."""
    if _ThisProcess.agent is None:
        return ()
    fields: tuple[tuple[str, str], ...] = _ThisProcess.agent.page_fields()
    return fields


def mark(client: _Client) -> _Client:
    """Return the socket on which the server itself answers under test, or as it is."""
    if _ThisProcess.agent is None:
        return client
    marked: _Client = _ThisProcess.agent.mark(client)
    return marked
