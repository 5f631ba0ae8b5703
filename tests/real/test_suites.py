"""Suites that people have, from their sources on PyPI, on clusters: unchanged but for the conftest."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from real_suites import SUITES, WAYS, Suite, SuiteUnavailable, fetch, problems, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_suite(suite: Suite, tmp_path: Path) -> None:
    """In one process, with 1 worker and with 3: what fails is what docs/testing-suites.md says, and nothing else."""
    missing = [name for name in suite.needs if find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed: tox -e real")
    try:
        sources = fetch(suite, tmp_path)
    except SuiteUnavailable as problem:
        pytest.skip(str(problem))
    for way in WAYS:
        came = run(suite, sources, way)
        assert problems(suite, way, came) == [], f"with {way or 'no'} workers:\n{came.told[-5000:]}"
    if suite.cure:
        came = run(suite, sources, 3, {"SHARED_CACHE": str(tmp_path / "cache")})
        assert problems(suite, 1, came) == [], f"with 3 workers, and {suite.cure}:\n{came.told[-5000:]}"
