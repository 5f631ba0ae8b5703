"""Which requests are late, and how often that is said."""

from __future__ import annotations

import math

import pytest

from nodecluster_compat import http
from nodecluster_compat.base.arguments import MOST_SECONDS
from nodecluster_compat.base.this_request import add_limiter
from nodecluster_compat.base.time_limits import Late, TimeLimits
from nodecluster_compat.errors import ArgumentError


def test_request_is_late_once_for_each_time_that_its_limit_has_passed() -> None:
    limits: TimeLimits[str] = TimeLimits(10)
    assert limits.late([("a", 100.0)], 109.9) == []
    assert limits.late([("a", 100.0), ("b", 105.0)], 110.0) == [Late("a", 100.0, 10, has_own=False)]
    assert limits.late([("a", 100.0), ("b", 105.0)], 114.9) == []
    assert [one.key for one in limits.late([("a", 100.0), ("b", 105.0)], 120.0)] == ["a", "b"]


def test_own_limit_comes_before_the_usual_one() -> None:
    """Longer, shorter or none; the next request with that key has the usual one again."""
    limits: TimeLimits[int] = TimeLimits(10)
    limits.set(1, 100.0, 3)
    limits.set(2, 100.0, 0)
    limits.set(3, 100.0, 30)
    requests = [(1, 100.0), (2, 100.0), (3, 100.0)]
    assert limits.late(requests, 103.0) == [Late(1, 100.0, 3, has_own=True)]
    assert [one.key for one in limits.late(requests, 1000.0)] == [1, 3]
    assert limits.late([(1, 1000.0), (2, 1000.0), (3, 1000.0)], 1009.0) == []
    assert [one.key for one in limits.late([(2, 1000.0)], 1010.0)] == [2]


def test_next_look_is_when_the_oldest_is_due() -> None:
    """Or one that begins now, and so once for each limit where nothing is in flight; never at once again."""
    limits: TimeLimits[str] = TimeLimits(10)
    assert limits.pause([], 100.0) == 10
    assert limits.pause([("a", 93.0), ("b", 95.5)], 100.0) == 3
    assert limits.pause([("a", 100.0)], 100.0) == 10
    assert limits.pause([("a", 80.0)], 100.0) == pytest.approx(0.001)
    assert [one.key for one in limits.late([("a", 92.0)], 102.0)] == ["a"]
    assert limits.pause([("a", 92.0)], 111.5) == 0.5  # the second time
    assert TimeLimits[str](1e9).pause([], 100.0) == 3600


def test_nobody_looks_where_nobody_has_a_limit() -> None:
    """What is known of a single request is forgotten soon after its end, however long its limit is."""
    limits: TimeLimits[int] = TimeLimits()
    assert limits.pause([(1, 99.0)], 100.0) is None
    limits.set(1, 99.0, 60)
    limits.set(2, 100.0, 0.25)
    requests = [(1, 99.0), (2, 100.0)]
    assert limits.pause(requests, 100.0) == 0.25
    assert limits.pause([(1, 99.0)], 100.0) == 1
    assert [one.key for one in limits.late(requests, 100.25)] == [2]
    assert limits.remembers
    assert limits.late([], 100.5) == []  # another thread may just have begun the second one
    assert limits.pause([], 100.5) == 1
    assert limits.late([], 101.5) == []
    assert not limits.remembers
    assert limits.pause([], 101.5) is None


def test_clock_that_stands_or_jumps_back_makes_nobody_late() -> None:
    limits: TimeLimits[int] = TimeLimits(1)
    assert limits.late([(1, 100.0)], 100.0) == []
    assert limits.late([(1, 100.0)], 5.0) == []


class Engine:
    """Knows the request of its caller, or not."""

    def __init__(self, knows: bool) -> None:
        self.knows = knows
        self.heard: list[float] = []

    def limit(self, seconds: float) -> bool:
        self.heard.append(seconds)
        return self.knows


@pytest.mark.parametrize("seconds", [-1, math.inf, math.nan, "5", None, True])
def test_limit_is_a_number_of_seconds(seconds: object) -> None:
    with pytest.raises(ArgumentError, match=r"^expected a number of seconds, 0 or more, got "):
        http.limit_request(seconds)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError):
        http.request_timeout(seconds)  # type: ignore[arg-type]


def test_decorator_limits_each_call_and_changes_nothing_else() -> None:
    @http.request_timeout(5)
    def view(name: str, *, excited: bool = False) -> str:
        """Greets."""
        return f"hello {name}{'!' if excited else ''}"

    assert view("you", excited=True) == "hello you!"  # in no request
    assert (view.__name__, view.__doc__) == ("view", "Greets.")
    engine = Engine(knows=True)
    add_limiter(engine.limit)
    view("you")
    assert http.limit_request(10**400)
    assert engine.heard == [5.0, MOST_SECONDS]


def test_coroutine_stays_one() -> None:
    engine = Engine(knows=True)
    add_limiter(engine.limit)

    @http.request_timeout(5)
    async def view() -> str:
        return "hello"

    coroutine = view()
    assert engine.heard == []
    with pytest.raises(StopIteration, match="hello"):
        coroutine.send(None)
    assert engine.heard == [5.0]


def test_engine_that_is_gone_is_not_asked() -> None:
    gone, here = Engine(knows=False), Engine(knows=True)
    add_limiter(gone.limit)
    add_limiter(here.limit)
    assert http.limit_request(3)
    heard = gone.heard
    del gone
    assert heard == [3.0]
    assert http.limit_request(4)
    assert heard == [3.0]
    here.knows = False
    assert not http.limit_request(5)
