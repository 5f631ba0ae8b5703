"""What happens to a function at which a step is held: it is replaced where it is kept, and put back as it was."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from pytest_cluster.inside.steps import Steps
from pytest_cluster.wire.records import Fail, Failpoint, Reached

STOPPED = Fail(times=None, error=pickle.dumps(LookupError("injected by the test")))


class Base:
    def inherited(self) -> str:
        return "inherited"


class Shop(Base):
    name = "shop"

    def method(self) -> str:
        return self.name

    @staticmethod
    def static(value: int) -> int:
        return value

    @classmethod
    def of_class(cls) -> str:
        return cls.name


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made: Any = ModuleType("shop_of_steps")
    made.Shop, made.Base, made.shop = Shop, Base, Shop()
    made.plain = lambda: "plain"
    monkeypatch.setitem(sys.modules, "shop_of_steps", made)
    return made


@pytest.fixture
def steps() -> Iterator[Steps]:
    told: list[Reached] = []
    made = Steps(told.append)
    yield made
    made.disarm_all()
    assert told == []


@pytest.mark.parametrize(
    ("place", "call", "result"),
    [
        ("plain", lambda module: module.plain(), "plain"),
        ("Shop.method", lambda module: module.shop.method(), "shop"),
        ("Shop.static", lambda module: module.Shop.static(7), 7),
        ("Shop.static", lambda module: module.shop.static(7), 7),
        ("Shop.of_class", lambda module: module.Shop.of_class(), "shop"),
        ("Shop.of_class", lambda module: module.shop.of_class(), "shop"),
        ("Shop.inherited", lambda module: module.shop.inherited(), "inherited"),
        ("shop.method", lambda module: module.shop.method(), "shop"),
    ],
)
def test_every_kind_of_function(steps: Steps, module: ModuleType, place: str, call: Any, result: object) -> None:
    owner = module
    for part in place.split(".")[:-1]:
        owner = getattr(owner, part)
    before = dict(vars(owner))
    steps.arm(
        Failpoint(1, f"shop_of_steps:{place}", Fail(times=1, error=pickle.dumps(LookupError("injected by the test"))))
    )

    with pytest.raises(LookupError, match="injected by the test"):
        call(module)
    assert call(module) == result

    steps.disarm(1)
    assert dict(vars(owner)) == before
    assert call(module) == result


def test_what_is_inherited_is_replaced_in_the_class_that_was_named(steps: Steps, module: Any) -> None:
    steps.arm(Failpoint(1, "shop_of_steps:Shop.inherited", STOPPED))

    assert module.Base().inherited() == "inherited"
    with pytest.raises(LookupError):
        module.Shop().inherited()


def test_failpoint_that_is_told_twice_is_one(steps: Steps, module: Any) -> None:
    """In the welcome, and by a call that crossed it."""
    once = Failpoint(1, "shop_of_steps:plain", Fail(times=1, error=pickle.dumps(LookupError("injected by the test"))))
    steps.arm(once)
    steps.arm(once)

    with pytest.raises(LookupError):
        module.plain()
    assert module.plain() == "plain"
    steps.disarm(1)
    assert module.plain.__name__ == "<lambda>"
