"""The tests run the configuration that the server runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SETTINGS = ("worker_class", "workers")  # the plugin's own, see cluster_options


@pytest.fixture(scope="session")
def cluster_options():
    """What every cluster of this project has, beside what a marker says."""
    lines = (Path(__file__).parent / "gunicorn.conf.py").read_text().splitlines()
    config = "\n".join(line for line in lines if not line.startswith(SETTINGS))
    return {
        "worker_class": "nodecluster_compat.ThreadWorker",
        "workers": 3,
        "config": config,
        "cwd": os.fspath(Path(__file__).parent),
    }
