"""What ``routing`` may be set to."""

from __future__ import annotations

from typing import Any

import pytest

from nodecluster_compat.errors import SettingsError
from nodecluster_compat.routing import Cookie, EngineIO, IssuedField, Path, StickyCookie
from nodecluster_compat.routing.keys import FunctionKey
from nodecluster_compat.routing.setting import keys_of


@pytest.mark.parametrize("value", [None, "auto"])
def test_unset_it_is_up_to_the_application(value: Any) -> None:
    assert keys_of(value) is None


@pytest.mark.parametrize("value", ["off", "none", "", False, [], ()])
def test_it_can_be_off(value: Any) -> None:
    assert keys_of(value) == ()


@pytest.mark.parametrize(
    ("value", "kinds"),
    [
        ("socketio", [EngineIO]),
        ("cookie, mcp", [StickyCookie, IssuedField]),
        (Cookie("session"), [Cookie]),
        (lambda head: None, [FunctionKey]),
        (["socketio", Path("/x"), len], [EngineIO, Path, FunctionKey]),
    ],
)
def test_it_names_keys(value: Any, kinds: Any) -> None:
    assert [type(key) for key in keys_of(value)] == kinds


@pytest.mark.parametrize("value", ["sticky", 7, True, EngineIO, [None], {"a": 1}])
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(SettingsError, match="expected routing to be"):
        keys_of(value)


@pytest.mark.parametrize("make", [lambda: Path("("), lambda: Path(7), lambda: Cookie("a;b"), lambda: Cookie("")])
def test_keys_that_can_find_nothing_are_refused(make: Any) -> None:
    with pytest.raises(SettingsError, match="expected"):
        make()
