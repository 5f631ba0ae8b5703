"""The stage that the programs of this folder run on."""

from __future__ import annotations

from pathlib import Path

import pytest
from stage import Play, player


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a program under ``nodecluster``; see :mod:`stage`."""
    return player(tmp_path)
