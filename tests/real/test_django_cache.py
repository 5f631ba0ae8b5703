"""Django's own tests of cache backends, from its sources on PyPI, run on the cluster's backend."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from redis_server import needs_redis, running
from sdists import sources_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SUITE: Final = Path(__file__).parents[1] / "support" / "django_cache_suite.py"


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tests = sources_of("django", tmp_path_factory.mktemp("django")) / "tests"
    shutil.copy(SUITE, tests / "cache" / "tests_cluster.py")
    return tests


def check(suite: Path, url: str = "") -> None:
    """All that its backends have in common; as for Redis, what culls by a number of entries is left out."""
    command = [sys.executable, "runtests.py", "cache.tests_cluster", "--parallel", "1"]
    environment = {**os.environ, "NODECLUSTER_BUS": url}
    ran = subprocess.run(command, cwd=suite, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0, ran.stderr[-5000:]
    assert "Ran 5" in ran.stderr
    assert "FAILED" not in ran.stderr


def test_djangos_own_suite(suite: Path) -> None:
    check(suite)


@needs_redis
def test_djangos_own_suite_on_a_server(suite: Path, tmp_path: Path) -> None:
    """As of a cluster of several hosts."""
    with running(tmp_path) as server:
        check(suite, server.url)
