"""What every cluster of this project has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cluster_options():
    return {"workers": 3, "cwd": os.fspath(Path(__file__).parent), "fresh": True}
