"""Whether a worker routes with these settings, and what it says of them."""

from __future__ import annotations

import logging
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from nodecluster_compat._gunicorn.worker.request_routing import keys_in_force, routes_here
from nodecluster_compat.routing import EngineIO, Query

LOG: Any = logging.getLogger("routes")


def settings(**more: Any) -> Any:
    return SimpleNamespace(**{"http2_cleartext": "off", "is_ssl": False, "max_requests": 0, **more})


@pytest.mark.parametrize(
    ("keys", "kinds"),
    [
        (None, [EngineIO]),
        ((), []),
        ((Query("a"),), [Query, EngineIO]),
        ((EngineIO(), Query("a")), [EngineIO, Query]),
    ],
    ids=["not set", "off", "another key", "set"],
)
def test_sessions_of_socketio_are_routed_beside_whatever_else(
    keys: Any, kinds: list[type], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the application uses them, and their ids name a worker."""
    monkeypatch.setitem(sys.modules, "engineio", SimpleNamespace())
    assert [type(key) for key in keys_in_force(keys)] == kinds
    monkeypatch.setenv("NODECLUSTER_PLAIN_SIDS", "1")
    assert keys_in_force(keys) == (keys or ())


@pytest.mark.parametrize("keys", [(EngineIO(),), None], ids=["asked for", "of the application"])
def test_what_is_not_routed_is_said(
    keys: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "engineio", SimpleNamespace())
    assert not routes_here(settings(http2_cleartext="on"), keys, LOG)
    assert "Requests are not routed" in caplog.text


def test_where_nothing_is_routed_nothing_is_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "engineio", raising=False)
    assert not routes_here(settings(http2_cleartext="on"), (), LOG)
    assert routes_here(settings(max_requests=100), (Query("a"),), LOG)
    assert caplog.text == ""


def test_a_limit_of_requests_that_polls_use_up_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert routes_here(settings(max_requests=100), (EngineIO(),), LOG)
    assert "max_requests is 100, and counts each poll" in caplog.text
