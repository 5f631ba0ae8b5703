"""The tests that ``limits`` and ``cachelib`` have themselves, of the installed versions, on the cluster's adapters."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest
from redis_server import RedisServer, needs_redis, running
from sdists import sources_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

SUPPORT: Final = Path(__file__).parents[1] / "support"
STORAGES: Final = ["tests/test_strategy.py", "tests/test_storage.py", "tests/storage/test_memory.py"]
# Those of its storages in memory, which ours replace, and of what all have in common; none that it calls flaky.
OF_LIMITS: Final = [
    *("-p", "asyncio", "-o", "asyncio_mode=auto", "--noconftest", "-m", "not flaky", "-k"),
    "in-memory or TestBaseStorage or TestStorageErrors or TestSerialization",
    *STORAGES,
    "tests/integration/test_concurrency.py",
    "tests/aio",
]
BROKEN: Final = """
from upstream_limits import *
from upstream_limits import _in_cluster

ClusterStorage.acquire_entry = lambda *args, **named: True
"""

needs = {
    name: pytest.mark.skipif(find_spec(name) is None, reason=f"{name} is not installed: tests/recipes/requirements.txt")
    for name in ("pytest_asyncio", "pytest_lazy_fixtures", "xprocess")
}


@pytest.fixture(scope="module")
def of_limits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sources_of("limits", tmp_path_factory.mktemp("limits"))


@pytest.fixture(scope="module")
def of_cachelib(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sources = sources_of("cachelib", tmp_path_factory.mktemp("cachelib"))
    shutil.copy(SUPPORT / "cachelib_suite.py", sources / "tests" / "test_cluster_cache.py")
    return sources


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with running(tmp_path) as server:
        yield server


def outcome(sources: Path, which: list[str], plugins: list[str], *paths: Path, url: str = "") -> tuple[str, str]:
    """Run some of its tests; return the last line without its time, and all that was said."""
    options = ["-q", "-W", "ignore", "-o", "addopts=", "-p", "no:cacheprovider"]
    for plugin in ("no:cluster", *plugins):
        options += ["-p", plugin]
    path = os.pathsep.join(map(str, (SUPPORT, *paths)))
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *which],
        cwd=sources,
        env={"PYTHONPATH": path, "PATH": os.environ["PATH"], "NODECLUSTER_BUS": url},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    last = ran.stdout.strip().splitlines()[-1]
    return re.sub(r"(, \d+ deselected)? in [\d.:() s]+.*", "", last), ran.stdout + ran.stderr


@needs["pytest_asyncio"]
@needs["pytest_lazy_fixtures"]
def test_limits(of_limits: Path) -> None:
    """All pass; also with windows of a million hits, from threads and tasks, pickled."""
    line, told = outcome(of_limits, OF_LIMITS, ["upstream_limits"])
    assert re.fullmatch(r"1\d\d passed", line), told


@needs["pytest_asyncio"]
@needs["pytest_lazy_fixtures"]
def test_tests_of_limits_would_notice(of_limits: Path, tmp_path: Path) -> None:
    """A storage that allows all fails some."""
    (tmp_path / "broken_limits.py").write_text(BROKEN)
    line, told = outcome(of_limits, OF_LIMITS, ["broken_limits"], tmp_path)
    assert re.fullmatch(r"\d+ failed, \d+ passed", line), told


@pytest.mark.slow  # it measures seconds of the server's, to some hundredths
@needs_redis
@needs["pytest_asyncio"]
@needs["pytest_lazy_fixtures"]
def test_limits_on_a_server(of_limits: Path, server: RedisServer) -> None:
    """The same on Redis."""
    line, told = outcome(of_limits, OF_LIMITS, ["upstream_limits"], url=server.url)
    assert re.fullmatch(r"1\d\d passed", line), told


@needs["xprocess"]
def test_cachelib(of_cachelib: Path) -> None:
    """All that its caches have in common, with its own serializers, too."""
    line, told = outcome(of_cachelib, ["tests/test_cluster_cache.py"], ["no:asyncio"])
    assert re.fullmatch(r"[3-9]\d passed", line), told


@needs_redis
@needs["xprocess"]
def test_cachelib_on_a_server(of_cachelib: Path, server: RedisServer) -> None:
    """The same on Redis."""
    line, told = outcome(of_cachelib, ["tests/test_cluster_cache.py"], ["no:asyncio"], url=server.url)
    assert re.fullmatch(r"[3-9]\d passed", line), told
