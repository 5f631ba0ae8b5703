"""What a program consists of is found, and nothing that may end; its references are not counted where Python can."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from nodecluster_compat.base.native import PYTHON, in_force
from nodecluster_compat.machine.immortal import find_definitions, make_immortal

CAN = sys.version_info >= (3, 12) and in_force().module is not None
SOURCE = """
import json

def greet(name):
    return "hello, " + name, ("deep", b"constant"), lambda: "inner"

def make():
    held = object()
    def closure():
        return held
    return closure

class Thing:
    "What it is."

    kind = "thing"

    def method(self):
        return self.attribute

    @property
    def attribute(self):
        return 1.5

    @staticmethod
    def static():
        return "static"

closure = make()
instance = Thing()
table = {"a": instance}
"""


@pytest.fixture
def module() -> ModuleType:
    made = ModuleType("made_for_this")
    exec(SOURCE, vars(made))
    return made


def definitions(module: ModuleType) -> dict[int, object]:
    """What is found, by ``id``."""
    found: dict[int, object] = {}

    def keep(one: object) -> bool:
        is_new = id(one) not in found
        found[id(one)] = one
        return is_new

    find_definitions([module], keep)
    return found


def has(found: dict[int, object], one: object) -> bool:
    return found.get(id(one)) is one


def test_what_a_module_consists_of_is_found(module: ModuleType) -> None:
    found = definitions(module)
    thing, greet = module.Thing, module.greet
    attribute = vars(thing)["attribute"]
    inner = next(one for one in greet.__code__.co_consts if hasattr(one, "co_consts"))
    parts = [module, vars(module), greet, greet.__code__, greet.__code__.co_consts, greet.__code__.co_names, inner]
    parts += [thing, thing.__mro__, thing.method, thing.method.__code__, attribute, attribute.fget, thing.static]
    assert [one for one in parts if not has(found, one)] == []
    values = [one for one in found.values() if type(one) in (str, bytes, float)]
    assert {"hello, ", "deep", b"constant", "inner", "thing", "static", 1.5, "method"} <= set(values)


def test_what_a_module_holds_is_left_alone(module: ModuleType) -> None:
    """It may end, and lead to anything; of a function with a closure the code is found."""
    found = definitions(module)
    for one in (module.instance, module.table, module.closure, module.json):
        assert not has(found, one)
    assert has(found, module.closure.__code__)


def test_what_an_application_has_put_into_a_library_is_left_alone(module: ModuleType) -> None:
    """A logger of its own, a function that stands in for another: they end with the application."""
    theirs = {"__name__": "application"}
    exec("class Logger: pass\ndef stands_in(): pass", theirs)
    vars(module).update(logger=theirs["Logger"], stands_in=theirs["stands_in"])
    found = definitions(module)
    assert not has(found, theirs["Logger"])
    assert not has(found, theirs["stands_in"])
    assert has(found, module.Thing)


def test_python_alone_makes_nothing_immortal() -> None:
    assert make_immortal(choice=PYTHON) == 0


@pytest.mark.skipif(not CAN, reason="needs Python 3.12 and the C extension")
def test_nobody_counts_references_to_what_is_immortal(module: ModuleType) -> None:
    native = in_force().module
    assert native is not None
    find_definitions([module], native.make_immortal)
    for one in (module, module.greet, module.Thing, module.greet.__code__, module.greet.__code__.co_consts):
        before = sys.getrefcount(one)
        more = [one] * 100
        assert sys.getrefcount(one) == before, more
        assert not native.make_immortal(one)
    before = sys.getrefcount(module.instance)
    more = [module.instance] * 100
    after = sys.getrefcount(more[0])
    assert after == before + 100
    assert module.greet("you")[0] == "hello, you"
