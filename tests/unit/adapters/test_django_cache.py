"""What Django's own tests of cache backends do not ask: they run on a real one, by ``tox -e real``."""

from __future__ import annotations

import pytest

pytest.importorskip("django")

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
