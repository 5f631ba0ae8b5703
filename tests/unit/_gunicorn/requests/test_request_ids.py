"""The ids of requests of WSGI applications: the same in ``environ``, answer and log; in C and in Python."""

from __future__ import annotations

import gc
import string
import sys
import weakref
from collections.abc import Callable, Iterable
from contextvars import Context, copy_context
from typing import Any, Final

import pytest
from gunicorn.config import Config

from nodecluster_compat._gunicorn.requests.request_ids import with_request_ids
from nodecluster_compat.base.native import PYTHON, Choice, in_force
from nodecluster_compat.base.this_request import ID_KEY, request_id

CHOICES: Final = [pytest.param(in_force(), id="in force"), pytest.param(PYTHON, id="python")]
KEY: Final = "HTTP_X_REQUEST_ID"
TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
PARENT: Final = f"00-{TRACE}-b7ad6b7169203331-01"
PLAIN: Final = [("Content-Type", "text/plain")]


class Name(str):
    """Text of another class."""

    __slots__ = ()


class Served:
    """An application that answers with some headers, and what has become of it."""

    def __init__(self, choice: Choice, *rest: Any, **named: Any) -> None:
        self.rest = rest if rest or named else (PLAIN,)
        self.named = named
        self.environ: dict[str, Any] = {}
        self.started: list[Any] = []
        self.known: str | None = None
        self.call = with_request_ids(self.application, Config(), "X-Request-ID", choice)

    def application(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.environ, self.known = environ, request_id()
        assert start_response("200 OK", *self.rest, **self.named) == "write"
        return [b"body"]

    def ask(self, **fields: str) -> str:
        """Serve a request; return its id."""
        environ = {"REMOTE_ADDR": "127.0.0.1", **fields}
        assert copy_context().run(self.call, environ, self.start) == [b"body"]
        assert environ is self.environ
        assert environ[KEY] == environ[ID_KEY] == self.known
        return environ[ID_KEY]

    def start(self, *told: Any) -> str:
        self.started.append(told)
        return "write"


@pytest.mark.parametrize("choice", CHOICES)
def test_new_id_is_in_the_request_and_in_the_answer(choice: Choice) -> None:
    served = Served(choice)
    made = {served.ask() for _ in range(1000)}
    assert len(made) == 1000
    assert all(len(one) == 32 and set(one) <= set(string.hexdigits.lower()) for one in made)
    assert served.started[-1] == ("200 OK", [*PLAIN, ("X-Request-ID", served.known)], None)
    assert PLAIN == [("Content-Type", "text/plain")]
    assert Served(choice).ask() not in made
    assert Context().run(request_id) is None


@pytest.mark.parametrize("choice", CHOICES)
def test_who_may_says_the_id(choice: Choice) -> None:
    """Nobody else does, whatever he says."""
    served = Served(choice)
    assert served.ask(**{KEY: "a1-b2"}) == "a1-b2"
    assert served.ask(HTTP_TRACEPARENT=PARENT) == TRACE
    assert served.ask(**{KEY: "a1", "REMOTE_ADDR": ""}) == "a1"
    others = [
        served.ask(**{KEY: "not sane"}),
        served.ask(HTTP_TRACEPARENT="none"),
        served.ask(**{KEY: "a1", "HTTP_TRACEPARENT": PARENT, "REMOTE_ADDR": "10.0.0.1"}),
    ]
    assert [len(one) for one in others] == [32] * 3
    assert not {"a1", TRACE} & set(others)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("name", ["X-Request-ID", "x-request-id", "X-REQUEST-Id", Name("x-request-id")])
def test_application_may_say_its_own(choice: Choice, name: str) -> None:
    headers = [*PLAIN, (name, "own"), ("X-Request", "1")]
    served = Served(choice, headers)
    served.ask()
    assert served.started == [("200 OK", headers, None)]


ODD: Final[dict[str, Any]] = {
    "no list": (tuple(PLAIN),),
    "lists": ([list(PLAIN[0])],),
    "names of another class": ([(Name("A"), "b")],),
    "name that is no ASCII": ([("X-Request-\u0130D", "b"), ("\u212a", "c")],),
    "an exception": (PLAIN, ("kind", "error", "trace")),
    "too few in a pair": ([("a",)],),
    "too many in a pair": ([("a", "b", "c")],),
    "no pair": ([3],),
    "name that is no text": ([(b"a", b"b")],),
    "nothing to go through": (3,),
    "too many arguments": (PLAIN, None, 5),
    "an iterator": (iter(PLAIN),),
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_headers_are_what_they_are_in_python(odd: str) -> None:
    """Taken, or refused in the same words."""

    def outcome(choice: Choice) -> object:
        given = ODD[odd]
        served = Served(choice, *((list(PLAIN),) if odd == "an iterator" else given))
        if odd == "an iterator":
            served.rest = (iter(PLAIN),)
        try:
            served.ask()
        except Exception as error:  # noqa: BLE001 - whatever it is
            return type(error), str(error).partition("() ")[2]
        [(status, headers, exc_info)] = served.started
        return status, [*headers[:-1], (headers[-1][0], headers[-1][1] == served.known)], exc_info

    assert outcome(in_force()) == outcome(PYTHON)


@pytest.mark.parametrize("choice", CHOICES)
def test_arguments_may_be_named(choice: Choice) -> None:
    served = Served(choice, headers=PLAIN, exc_info=None)
    assert served.ask() == served.started[0][1][-1][1]


@pytest.mark.parametrize("choice", CHOICES)
def test_what_is_raised_is_raised_on(choice: Choice) -> None:
    """And nothing is kept of the request."""

    class Start:
        def __call__(self, *_: object) -> None:
            raise LookupError("no")

    start = Start()
    gone = weakref.ref(start)
    served = Served(choice)
    before = sys.getrefcount(served)
    for _ in range(100):
        with pytest.raises(LookupError, match="no"):
            copy_context().run(served.call, {}, start)
    del start
    gc.collect()
    assert gone() is None
    served.environ.clear()
    assert sys.getrefcount(served) == before


def test_seed_is_of_a_fixed_size() -> None:
    native = in_force().module
    if native is None:
        pytest.skip(str(in_force()))
    with pytest.raises(TypeError):
        native.RequestIds()
    made = Served(in_force()).call
    with pytest.raises(TypeError, match="expected environ, a dict, and start_response"):
        made([], print)
    with pytest.raises(TypeError):
        made({})
