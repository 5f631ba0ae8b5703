"""What Django's own tests of cache backends do not ask: they run on a real one, by ``tox -e real``."""

from __future__ import annotations

from math import inf

import pytest

pytest.importorskip("django")

from nodecluster_compat import cluster
from nodecluster_compat.adapters.django_cache import ClusterCache

LARGE = "x" * 1_200_000


def test_what_is_too_large() -> None:
    """A page of 1.2 MB is not kept, as in memcached, and whoever asked for it is served; nor is anything older."""
    cache = ClusterCache("", {})
    cache.set("a", 1)
    cache.set("a", LARGE)
    assert (cache.get("a"), cache.add("b", LARGE), cache.get("b")) == (None, False, None)
    cache.set("c", 1)
    assert cache.set_many({"a": 1, "c": LARGE}) == ["c"]
    assert cache.get_many(["a", "b", "c"]) == {"a": 1}


def test_clear_leaves_other_caches() -> None:
    """As many keys as need several steps."""
    cache, other = ClusterCache("one", {}), ClusterCache("other", {})
    for each in (cache, other):
        each.set_many({f"{number}": number for number in range(1200)})
    cache.clear()
    assert (cache.get_many(map(str, range(1200))), len(other.get_many(map(str, range(1200))))) == ({}, 1200)


def test_for_ever() -> None:
    """An infinite time-out is that, as in Django's own cache in memory."""
    cache = ClusterCache("ever", {})
    cache.set("a", 1, inf)
    assert (cache.add("b", 2, inf), cache.touch("a", inf), cache.set_many({"c": 3}, inf)) == (True, True, [])
    assert cache.get_many("abc") == {"a": 1, "b": 2, "c": 3}
    assert [cluster.store.ttl(name) for name in cluster.store.keys("django:ever:")] == [None] * 3
