"""What the verbs of a store do, on whichever engine."""

from __future__ import annotations

from nodecluster_compat.sharing.store import Store

__all__ = ["check_verbs"]


def check_verbs(store: Store) -> None:
    """Call the verbs on an empty store; it has five keys after that: ``a``, ``c``, ``n``, ``new`` and ``log``."""
    assert store.get("a", "nothing") == "nothing"
    assert store.get("a") is None
    assert store.set("a", 1, nx=True)
    assert not store.set("a", 2, nx=True)
    store.set_many({"b": "two", "c": [3]})
    assert store.get_many(["a", "b", "missing", "c"]) == {"a": 1, "b": "two", "c": [3]}
    assert store.delete("b", "missing") == 1
    assert (store.incr("a"), store.incr("n", 5), store.incr("n", -7)) == (2, 5, -2)
    assert not store.compare_and_set("a", 1, "other")
    assert store.compare_and_set("a", 2, "other")
    assert store.compare_and_set("new", None, 1)
    assert not store.compare_and_set("new", None, 1)
    assert store.update("log", lambda log: ([*(log or []), "x"], len(log or []))) == 0
    assert store.update("log", lambda log: ([*(log or []), "y"], len(log or []))) == 1
    assert store["log"] == ["x", "y"]
    assert (store.get_many([]), store.delete()) == ({}, 0)
    assert len(store) == 5
