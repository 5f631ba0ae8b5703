"""Which fixtures a function asks for while it runs, by the names in its code."""

from __future__ import annotations

import pytest

from pytest_cluster.session.asking import MOST_FUNCTIONS, names_asked_for

NAME = "cluster_client"


def by_a_helper(request: pytest.FixtureRequest) -> object:
    return further(request)


def further(request: pytest.FixtureRequest) -> object:
    return request.getfixturevalue(NAME)


def endless(request: pytest.FixtureRequest) -> object:
    return endless(request)


class Base:
    request: pytest.FixtureRequest

    def take(self) -> object:
        return self.request.getfixturevalue("cluster")


class Derived(Base):
    def set_up(self) -> object:
        return self.take()


def test_names_in_code() -> None:
    """Only those of code that asks."""

    def asks(request: pytest.FixtureRequest) -> object:
        return [request.getfixturevalue(name) for name in ("cluster", "not one")]

    def does_not() -> str:
        return "cluster"

    assert "cluster" in names_asked_for(asks)
    assert "not one" not in names_asked_for(asks)
    assert names_asked_for(does_not) == []
    assert names_asked_for(None) == []
    assert names_asked_for(len) == []


def test_names_in_what_it_calls() -> None:
    """A helper of its module, with a text that is a global, and a method of its class or of a base."""
    assert "cluster_client" in names_asked_for(by_a_helper)
    assert "cluster" in names_asked_for(Derived.set_up, Derived)
    assert names_asked_for(Derived.set_up) == []


def test_function_that_calls_itself_is_looked_through_once() -> None:
    assert names_asked_for(endless) == []
    assert MOST_FUNCTIONS > 1
