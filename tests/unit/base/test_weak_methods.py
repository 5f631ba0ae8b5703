"""Methods that are kept as long as their objects live."""

from __future__ import annotations

from collections.abc import Callable

from nodecluster_compat.base.weak_methods import WeakMethods


class Owner:
    def __init__(self, name: str) -> None:
        self.name = name

    def say(self) -> str:
        return self.name


def test_methods_of_objects_that_live_are_there_in_their_order() -> None:
    methods: WeakMethods[Callable[[], str]] = WeakMethods()
    first, second = Owner("first"), Owner("second")
    methods.add(first.say)
    methods.add(second.say)
    assert [method() for method in methods] == ["first", "second"]
    del first
    assert [method() for method in methods] == ["second"]


def test_what_is_gone_is_forgotten() -> None:
    methods: WeakMethods[Callable[[], str]] = WeakMethods()
    for number in range(3):
        methods.add(Owner(str(number)).say)
    assert len(methods._methods) == 1
    assert list(methods) == []
