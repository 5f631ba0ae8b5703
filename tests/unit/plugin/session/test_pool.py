"""Which cluster is used again, and what becomes of one that cannot be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_cluster.options.cluster_options import ClusterOptions
from pytest_cluster.options.recipe import Recipe
from pytest_cluster.session.pool import Pool


def test_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The options, where the server imports from, and its environment; not what that says of the test."""
    recipe = Recipe(ClusterOptions(env={"A": "b"}), "/here")
    key = recipe.key

    assert Recipe(recipe.options, "/there").key != key
    assert recipe.changed("test", {"workers": 3}).key != key
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "test_next (setup)")
    monkeypatch.setenv("A", "hidden by env=")
    assert recipe.key == key
    monkeypatch.setenv("DATABASE", "another")
    assert recipe.key != key


@pytest.mark.parametrize("error", [OSError("no"), KeyboardInterrupt()])
def test_cluster_whose_faults_cannot_be_undone_is_ended(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def undo() -> None:
        raise error

    closed: list[Any] = []
    pool = Pool(closed.append)
    one: Any = SimpleNamespace(
        faults=SimpleNamespace(injected=0, undo=undo),
        journal=SimpleNamespace(last_seq=0),
        primary=SimpleNamespace(pid=0),
        options=ClusterOptions(),
        server=SimpleNamespace(control=SimpleNamespace(calls=0)),
        every_worker=[],
    )
    lease = pool.lease(Recipe(one.options, ""), lambda: one)

    with pytest.raises(type(error)):
        pool.give_back(lease, failed=False, wanted=True, test="test_it")

    assert closed == [one]
    assert pool.close() == []
