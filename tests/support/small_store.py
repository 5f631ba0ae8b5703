"""A store of the kind that one host has, in memory as in life, and small; fixtures for ``conftest.py``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodecluster_compat.sharing.lmdb_engine import LmdbEngine
from nodecluster_compat.sharing.store import Store

__all__ = ["SMALL", "folder", "store"]

SMALL = 1024 * 1024
"""Its bytes."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where stores lie, in memory as in life."""
    path = Path("/dev/shm") / f"nodecluster-test-{os.getpid()}-{tmp_path.name}"
    path.mkdir(mode=0o700)
    yield path
    for one in path.iterdir():
        one.unlink()
    path.rmdir()


@pytest.fixture
def store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A small store."""
    monkeypatch.setenv("NODECLUSTER_STORE_BYTES", str(SMALL))
    made = Store(lambda: LmdbEngine(lambda: str(folder)))
    yield made
    made.leave()
