"""``cachelib``'s interface, each call as its documentation has it."""

from __future__ import annotations

import pytest

from nodecluster_compat.adapters.cachelib_cache import ClusterCache
from nodecluster_compat.sharing.store import Store


class Point:
    """Something that only pickle carries."""

    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and other.x == self.x

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("value", [1, True, None, 2**70, "text", b"bytes", [1, {"a": (2, 3)}], {1, 2}, Point(3)])
def test_values(value: object) -> None:
    """Whatever pickle carries comes back as it was."""
    cache = ClusterCache()
    assert cache.set("key", value)
    assert cache.get("key") == value
    assert type(cache.get("key")) is type(value)
    assert cache.get_many("key", "missing") == [value, None]


def test_what_is_too_large() -> None:
    """Is not kept, as its documentation has it, and nothing older in its place."""
    cache, large = ClusterCache(), b"x" * 1_200_000
    cache.set("a", 1)
    assert not cache.set("a", large)
    assert (cache.get("a"), cache.add("b", large), cache.get("b")) == (None, False, None)
    cache.set("a", 1)
    assert not cache.add("a", large)
    assert cache.get("a") == 1


def test_calls(store: Store) -> None:
    """Sets, adds, counts, deletes; another prefix is another cache; keys of any length."""
    cache, other = ClusterCache(), ClusterCache(key_prefix="other")
    long = "k" * 5000
    assert cache.add(long, 1)
    assert not cache.add(long, 2)
    assert (cache.inc(long), cache.dec(long, 5), cache.inc("new", 3)) == (2, -3, 3)
    assert (cache.has(long), other.has(long), cache.get_dict("new", "no")) == (True, False, {"new": 3, "no": None})
    assert cache.set_many({"a": 1, "b": 2}) == ["a", "b"]
    assert cache.delete_many("a", "missing") in (["a", "missing"], ["a"])  # the latter before cachelib 0.15
    other.set("a", 5)
    store.set("mine", 1)
    assert cache.clear()
    assert (cache.get("b"), other.get("a"), store.get("mine")) == (None, 5, 1)
    assert (cache.delete("b"), other.delete("a")) == (False, True)


def test_time_outs(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default, for ever, and in the past; counting keeps the time."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    cache = ClusterCache(default_timeout=10)
    cache.set("default", 1)
    cache.set("ever", 1, timeout=0)
    cache.set("gone", 1)
    cache.set("gone", 1, timeout=-1)
    assert not cache.has("gone")
    now[0] += 5
    cache.inc("default")
    now[0] += 5
    assert (cache.get("default"), cache.get("ever")) == (None, 1)
