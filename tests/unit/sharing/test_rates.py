"""Token buckets and sliding windows, with a clock that the test moves; what they allow over any time is the limit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodecluster_compat.errors import ArgumentError, ArgumentTypeError
from nodecluster_compat.sharing import rates
from nodecluster_compat.sharing.lmdb_engine import LmdbEngine
from nodecluster_compat.sharing.rates import SlidingWindow, TokenBucket
from nodecluster_compat.sharing.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store."""
    folder: Path = tmp_path_factory.mktemp("rates")
    made = Store(lambda: LmdbEngine(lambda: str(folder)))
    yield made
    made.leave()


def test_bucket(store: Store) -> None:
    """A burst, then the rate; it says how long to wait, and after that there is enough."""
    now = [0.0]
    store.clear()
    bucket = TokenBucket(store, "b", rate=2, burst=4, clock=lambda: now[0])
    assert [bucket.take() for _ in range(5)] == [0, 0, 0, 0, 0.5]
    now[0] += 0.5
    assert (bucket.take(), bucket.take(2)) == (0, 1.0)
    now[0] += 100
    assert (bucket.take(4), bucket.take(0.5)) == (0, 0.25)
    other = TokenBucket(store, "b", rate=2, burst=4, clock=lambda: now[0])
    assert other.take() == 0.5


def test_clocks_that_do_not_agree_refill_a_bucket_once(store: Store) -> None:
    """Two hosts, one of them 50 ms ahead: together they get what the rate allows, and what that is worth."""
    now = [0.0]
    store.clear()
    behind = TokenBucket(store, "b", rate=10, burst=10, clock=lambda: now[0])
    ahead = TokenBucket(store, "b", rate=10, burst=10, clock=lambda: now[0] + 0.05)
    taken = 0
    for _ in range(400):
        now[0] += 0.005
        taken += sum(bucket.take() == 0 for bucket in (behind, ahead))
    assert 29 <= taken <= 31


def test_hits_are_in_order_whatever_the_clocks_say(store: Store) -> None:
    now = [0.0]
    store.clear()
    ahead = SlidingWindow(store, "w", 3, 10, clock=lambda: now[0] + 4)
    behind = SlidingWindow(store, "w", 3, 10, clock=lambda: now[0])
    assert [ahead.take(), behind.take(2)] == [0, 0]
    assert ahead.hits() == [4, 4, 4]
    assert ahead.take() == 10


def test_window(store: Store) -> None:
    """So many within any span; it says when the next is allowed."""
    now = [0.0]
    store.clear()
    window = SlidingWindow(store, "w", 3, 10, clock=lambda: now[0])
    for at, amount, waits in ((0, 1, 0), (4, 2, 0), (5, 1, 5), (10, 1, 0), (10, 2, 4), (14, 2, 0), (14, 1, 6)):
        now[0] = at
        assert window.take(amount) == waits
    assert window.hits() == [10, 14, 14]


def test_how_a_window_stands(store: Store) -> None:
    """How many, and how long ago the first of them was; a million at once take no more room than one."""
    now = [0.0]
    store.clear()
    window = SlidingWindow(store, "w", 2_000_000, 10, clock=lambda: now[0])
    assert window.stand() == (0, 0.0)
    assert window.take() == 0
    now[0] = 4
    assert (window.take(1_999_999), window.stand(), window.take()) == (0, (2_000_000, 4.0), 6.0)
    assert len(store["w"][0]) == 2
    now[0] = 10
    assert (window.stand(), window.take(), window.take()) == ((1_999_999, 6.0), 0, 4.0)


def test_more_moments_than_are_remembered(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours become one, which counts for longer: never more than the limit, and no hit is forgotten early."""
    now = [0.0]
    store.clear()
    monkeypatch.setattr(rates, "_MOST_MOMENTS", rates._MOST_MOMENTS // 10)  # each hit writes all
    window = SlidingWindow(store, "w", 1_050, 2_000, clock=lambda: now[0])
    for now[0] in range(1_050):
        assert window.take() == 0
    assert window.stand() == (1_050, 1_048)  # the first of the first pair is as late as the second
    assert len(store["w"][0]) < 600
    assert window.take() == 2_000 - 1_048
    now[0] += 2_000 - 1_048
    assert [bool(window.take()) for _ in range(3)] == [False, False, True]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 3)), min_size=1, max_size=40))
def test_no_span_has_more_than_the_limit(store: Store, steps: list[tuple[int, int]]) -> None:
    """Whatever the times; and what was refused is allowed after the wait that was said."""
    now = [0.0]
    store.clear()
    window = SlidingWindow(store, "w", 3, 10, clock=lambda: now[0])
    allowed: list[float] = []
    for pause, amount in steps:
        now[0] += pause
        wait = window.take(amount)
        if wait:
            now[0] += wait
            assert window.take(amount) == 0
        allowed += [now[0]] * amount
    for at in allowed:
        assert sum(1 for one in allowed if at - 10 < one <= at) <= 3


FOREIGN = [5, "text", [], [1, 2, 3], [[1.0], [2]], [[1.0], []], [["a"], [1]], ["a", 1.0], {"a": 1}, [True, 1.0]]


def test_numbers_of_any_size(store: Store) -> None:
    """A rate that fills nothing in a lifetime, and whole numbers that are no ``float``, are numbers."""
    slow = TokenBucket(store, "slow", 5e-324, 5, clock=lambda: 0.0)
    assert [slow.take(5), slow.take(5)] == [0.0, math.inf]
    assert TokenBucket(store, "vast", 10**400, 10**400, clock=lambda: 0.0).take(10**400) == 0.0
    long = SlidingWindow(store, "long", 1, 10**400, clock=lambda: 0.0)
    assert long.take() == 0.0
    assert long.take() > 1e300
    with pytest.raises(ArgumentError, match="no more than the 5 tokens"):
        slow.take(10**400)


@pytest.mark.parametrize("kept", FOREIGN, ids=str)
def test_something_else_under_its_name(store: Store, kept: object) -> None:
    """Is told by the sentence that ``incr`` has, and left as it is."""
    store["name"] = kept
    window = SlidingWindow(store, "name", 1, 1, clock=lambda: 0.0)
    wrong = [TokenBucket(store, "name", 1, 1, clock=lambda: 0.0).take]
    wrong += [] if kept == [[1.0], [2]] else [window.take, window.hits, window.stand]
    for verb in wrong:
        with pytest.raises(ArgumentTypeError, match=r"expected a (token bucket|sliding window) to be kept as 'name'"):
            verb()
    assert store["name"] == kept


def test_what_is_refused_writes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood against one limit holds up nobody who writes, however much its window remembers."""
    now = [0.0]
    store.clear()
    window = SlidingWindow(store, "w", 1000, 10_000, clock=lambda: now[0])
    for number in range(1000):
        now[0] = number + 0.1
        assert window.take() == 0
    bucket = TokenBucket(store, "b", 1, 1, clock=lambda: 0.0)
    assert bucket.take() == 0
    engine = store.engine
    assert isinstance(engine, LmdbEngine)
    writes: list[bytes | None] = []
    write = engine.file.write
    monkeypatch.setattr(engine.file, "write", lambda change, key: writes.append(key) or write(change, key))
    before = store.get_many(["w", "b"])
    assert window.take() == pytest.approx(10_000 - 999)
    assert writes == []
    assert bucket.take() == 1  # a small value is looked at with the lock
    assert store.get_many(["w", "b"]) == before


@pytest.mark.parametrize(
    "make",
    [
        lambda store: TokenBucket(store, "b", 0, 1),
        lambda store: TokenBucket(store, "b", 1, float("inf")),
        lambda store: TokenBucket(store, "b", 1, 1).take(2),
        lambda store: TokenBucket(store, "b", 1, 1).take(-1),
        lambda store: SlidingWindow(store, "w", 0, 1),
        lambda store: SlidingWindow(store, "w", 1_000_000_001, 1),
        lambda store: SlidingWindow(store, "w", 1, 0),
        lambda store: SlidingWindow(store, "w", 1, 1).take(2),
    ],
)
def test_what_can_never_be(store: Store, make: object) -> None:
    """Is refused at once."""
    assert callable(make)
    with pytest.raises(ArgumentError, match="expected"):
        make(store)
