"""A cluster's folder in a place of the test's own; fixtures for ``conftest.py``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nodecluster_compat.machine import state_folder
from nodecluster_compat.machine.state_folder import StateFolder

__all__ = ["folder", "home"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where folders are made."""
    monkeypatch.setattr(state_folder, "_home", lambda: str(tmp_path))
    return tmp_path


@pytest.fixture
def folder(home: Path) -> Iterator[StateFolder]:
    """A folder, not made yet."""
    made = StateFolder()
    yield made
    made.leave()
