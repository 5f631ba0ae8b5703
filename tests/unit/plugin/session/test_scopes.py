"""What is said when a fixture of a wider scope asks for a cluster."""

from __future__ import annotations

import pytest

from pytest_cluster.session.scopes import explain_scope

OF_PYTEST = "ScopeMismatch: You tried to access the function scoped fixture {} with a {} scoped request object."


@pytest.mark.parametrize(("name", "scope"), [("cluster", "session"), ("cluster_client", "module")])
def test_fixtures_of_ours(name: str, scope: str) -> None:
    told = explain_scope(OF_PYTEST.format(name, scope))
    assert told.startswith(f"{name} belongs to one test")
    assert f"drop scope='{scope}' there" in told


@pytest.mark.parametrize("text", ["", "AssertionError: no", OF_PYTEST.format("monkeypatch", "session")])
def test_anything_else(text: str) -> None:
    assert explain_scope(text) == ""
