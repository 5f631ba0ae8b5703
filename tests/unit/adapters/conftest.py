"""A store of the test's own behind ``cluster.store``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nodecluster_compat.sharing.lmdb_engine import LmdbEngine
from nodecluster_compat.sharing.store import Store
from nodecluster_compat.sharing.this_process import sharing


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Empty at the beginning of each test."""
    made = Store(lambda: LmdbEngine(lambda: str(tmp_path)))
    monkeypatch.setattr(sharing, "store", made)
    yield made
    made.leave()
