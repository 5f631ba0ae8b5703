"""Tests beside other plugins: collected where they are installed (``pip install -e '.[zoo]'``, ``tox -e zoo``)."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

PLUGINS = ("anyio", "pytest_asyncio", "pytest_cov", "pytest_django", "pytest_flask", "pytest_rerunfailures", "xdist")
MISSING = [name for name in PLUGINS if find_spec(name) is None]

collect_ignore = ["test_zoo.py"] if MISSING else []


@pytest.fixture
def shop(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with the shop of tests/apps, on the real gunicorn, with every plugin that is installed."""
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_TESTRUNUID", "COV_CORE_SOURCE"):
        monkeypatch.delenv(name, raising=False)
    shutil.copy(Path(__file__).parents[1] / "apps" / "shop.py", pytester.path / "shop.py")
    pytester.makeini("[pytest]\ncluster_app = shop:app\nasyncio_default_fixture_loop_scope = function\n")
    return pytester
