"""What may wait has a twin for tasks, and the page names it."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from nodecluster_compat.roles.cluster import Cluster
from nodecluster_compat.roles.process import Process
from nodecluster_compat.sharing.async_store import AsyncStore
from nodecluster_compat.sharing.bus import Bus
from nodecluster_compat.sharing.leader import Leader
from nodecluster_compat.sharing.lock import Lock
from nodecluster_compat.sharing.rates import SlidingWindow, TokenBucket

PAGE = (Path(__file__).parents[3] / "docs" / "scaling.md").read_text()
TWINS: dict[type, set[str]] = {
    Bus: {"publish", "broadcast", "request"},
    Cluster: {"everywhere"},
    Leader: set(),
    Lock: {"acquire"},
    Process: {"send", "request"},
    TokenBucket: {"take"},
    SlidingWindow: {"take", "hits", "stand"},
}


SAY_NOTHING = {Leader, Process, TokenBucket, SlidingWindow}  # of that, in a docstring of their own
CALLBACKS = {"callback", "options"}  # the latter as Node has them: what is in it has names, too


@pytest.mark.parametrize("kind", TWINS, ids=lambda kind: kind.__name__)
def test_who_has_twins(kind: type) -> None:
    """These and no others; each is a coroutine function with the parameters of its verb, but for a callback."""
    members = dict(inspect.getmembers(kind, inspect.isfunction))
    assert {name.removesuffix("_async") for name in members if name.endswith("_async")} == TWINS[kind]
    for verb in TWINS[kind]:
        twin = members[f"{verb}_async"]
        assert inspect.iscoroutinefunction(twin)
        assert set(inspect.signature(members[verb]).parameters) - set(inspect.signature(twin).parameters) <= CALLBACKS
        assert f"{verb}_async" in PAGE


@pytest.mark.parametrize("kind", [*TWINS, AsyncStore], ids=lambda kind: kind.__name__)
def test_what_may_block_has_a_twin(kind: type) -> None:
    """Whatever says that it raises ``WouldBlock`` where nothing may wait."""
    names = {
        name
        for name, member in inspect.getmembers(kind, inspect.isfunction)
        if "WouldBlock" in (member.__doc__ or "") and not name.startswith("_") and name != "apart"
    }
    blocking = {name for name in names if not name.endswith("_async")}
    assert blocking or kind in SAY_NOTHING
    assert [name for name in sorted(blocking) if not hasattr(kind, f"{name}_async")] == []
