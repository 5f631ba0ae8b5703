"""Django's own tests of cache backends, from its sources on PyPI, run on the cluster's backend."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import django
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SUITE = Path(__file__).parents[1] / "support" / "django_cache_suite.py"


def test_djangos_own_suite(tmp_path: Path) -> None:
    """All that its backends have in common; as for Redis, what culls by a number of entries is left out."""
    version = django.__version__
    download = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--no-binary",
        "django",
        f"django=={version}",
    ]
    done = subprocess.run(download, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=400)
    if done.returncode:
        pytest.skip(f"the sources of Django {version} cannot be had: {done.stderr[-200:]}")
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    tests = next(tmp_path.glob("*/tests"))
    shutil.copy(SUITE, tests / "cache" / "tests_cluster.py")
    command = [sys.executable, "runtests.py", "cache.tests_cluster", "--parallel", "1"]
    ran = subprocess.run(command, cwd=tests, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0, ran.stderr[-5000:]
    assert "Ran 5" in ran.stderr
    assert "FAILED" not in ran.stderr
