"""The end of a connection leaves with its last answer, where C sends that; nothing is lost by it."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import pytest
import taken_twice
from gunicorn.config import Config
from gunicorn.http import message
from in_process import quiet_gunicorn
from raw_http import normalised
from taken_twice import PATHS, Taken

from nodecluster_compat.base.native import PYTHON, Choice, in_force

needs_native = pytest.mark.skipif(in_force().module is None, reason=str(in_force()))
pytestmark = pytest.mark.skipif(
    not getattr(message, "_check_fast_parser", lambda _: False)(Config()),
    reason="this gunicorn has no C parser, or gunicorn_h1c is not installed",
)

BOTH: Final = [pytest.param(in_force(), id="in force"), pytest.param(PYTHON, id="python")]
MORE: Final = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
PATIENCE_MS: Final = 20_000


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    with quiet_gunicorn():
        yield


def asking(path: bytes, *, closes: bool = True) -> int:
    """Return the number by which :meth:`Taken.connect` asks for that."""
    return next(
        number for number in range(3 * len(PATHS)) if PATHS[number % len(PATHS)] == path and (number % 3 == 0) is closes
    )


def has_come(client: socket.socket, event: int, milliseconds: int) -> bool:
    poll = select.poll()
    poll.register(client, event)
    return bool(poll.poll(milliseconds))


def is_ended_with_answer(path: bytes, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a client has heard the end of its connection before that is closed."""
    one = Taken(in_force())
    number, ended = asking(path), list[bool]()
    try:
        for _ in range(3):  # what is new is Python's
            one.connect(number)
            one.turn()
        meter: Any = one.worker.metering.meter
        close = meter.close

        def look_and_close(slot: int) -> None:
            assert has_come(one.clients[-1], select.POLLIN, PATIENCE_MS)
            ended.append(has_come(one.clients[-1], select.POLLRDHUP, 0))
            close(slot)

        monkeypatch.setattr(meter, "close", look_and_close)
        one.connect(number)
        one.turn()
        monkeypatch.undo()
        assert normalised(one.heard[0]) == normalised(one.heard[-1])
    finally:
        one.close()
    (is_there,) = ended
    return is_there


@needs_native
def test_end_comes_with_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_ended_with_answer(b"/pieces", monkeypatch)


@needs_native
@pytest.mark.parametrize("path", [b"/stream", b"/fileno"], ids=bytes.decode)
def test_end_does_not_come_where_more_may_be_written(path: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an iterable, or by an application that has taken the socket."""
    assert not is_ended_with_answer(path, monkeypatch)


@pytest.mark.parametrize("choice", BOTH)
def test_connection_goes_on_after_an_answer_that_is_not_the_last(choice: Choice) -> None:
    one = Taken(choice)
    try:
        one.connect(asking(b"/pieces", closes=False))
        for _ in range(2):
            one.turn()
            one._send(0, MORE)
        one.turn()
        assert one.heard[0].count(b"HTTP/1.1 200 OK") == 3
    finally:
        one.close()


@pytest.mark.parametrize("choice", BOTH)
def test_answer_is_whole_though_its_client_has_sent_more(choice: Choice, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody has read resets the connection when it is closed, with all that the kernel has not sent by then."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        one.clients[-1].sendall(MORE)
        start_response("200 OK", [("Content-Length", "5")])
        return [b"Hello"]

    monkeypatch.setattr(taken_twice, "_app", app)
    one = Taken(choice)
    try:
        for _ in range(2):  # what is new is Python's
            one.connect(asking(b"/"))
            one.turn()
        assert [bytes(heard[-5:]) for heard in one.heard] == [b"Hello"] * 2
    finally:
        one.close()
