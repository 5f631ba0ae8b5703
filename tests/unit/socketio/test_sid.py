"""Session ids of Engine.IO name their worker, unless a program opts out."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import engineio
import pytest
from engineio.base_server import BaseServer

from nodecluster_compat.base.variables import PLAIN_SIDS
from nodecluster_compat.routing.engineio import worker_of
from nodecluster_compat.socketio import sid


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    original = BaseServer.generate_id
    yield
    BaseServer.generate_id = original


def new_id() -> str:
    return engineio.Server(async_mode="threading").generate_id()


def test_ids_name_the_worker() -> None:
    assert worker_of(new_id()) is None
    assert sid.install(7)
    assert worker_of(new_id()) == 7


def test_installed_again_it_stamps_once() -> None:
    """In a worker that was forked with them stamped for another, too."""
    sid.install(7)
    sid.install(7)
    sid.install(8)
    assert worker_of(new_id()) == 8
    assert len(new_id()) == 22


def test_a_program_may_opt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLAIN_SIDS, "1")
    assert not sid.install(7)
    assert worker_of(new_id()) is None


def test_nothing_is_imported_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "engineio.base_server")
    assert not sid.install(7)
    assert "engineio.base_server" not in sys.modules
