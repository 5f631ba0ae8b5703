"""A folder for the database and the cache, which all workers share, and a choice to vote for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cluster_options(tmp_path_factory):
    """What every cluster of this project has, beside what a marker says."""
    environment = {"POLLS_FOLDER": str(tmp_path_factory.mktemp("polls")), "DJANGO_SETTINGS_MODULE": "project.settings"}
    subprocess.run(
        [sys.executable, "-m", "django", "migrate", "--verbosity=0", "--pythonpath=."],
        cwd=Path(__file__).parent,
        env={**os.environ, **environment},
        check=True,
    )
    return {"env": environment}


@pytest.fixture
def choice(cluster_client) -> str:
    """The path of a new choice."""
    return f"/choices/{cluster_client.post('/choices', body=b'yes').text}"
