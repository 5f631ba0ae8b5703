"""The contract that keeps an engine in its own worker bites: what would load gevent elsewhere is refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = Path(sys.executable).with_name("lint-imports")


def linted(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the contract on a copy of the packages."""
    command = [str(LINT), "--contract", "engines", "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=50)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packages and their contracts, to be spoilt."""
    for name in ("nodecluster_compat", "pytest_cluster"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


SPOILT = {
    "_gunicorn.arbiter.health": "import gevent",
    "_gunicorn.arbiter.forking": "from ...gevent_runtime.forked_hub import hub_begins",
    "_gunicorn.worker.fed_worker": "from ..requests.responses import AnsweredApplication",
    "roles.process": "import asyncio",
}


def test_what_would_load_an_engine_is_refused(copy: Path) -> None:
    """At once, by way of our own modules, by way of the request path; another engine too: each is named."""
    for module, line in SPOILT.items():
        path = copy / "nodecluster_compat" / f"{module.replace('.', '/')}.py"
        head, _, rest = path.read_text().partition("from __future__ import annotations\n")
        path.write_text(f"{head}from __future__ import annotations\n{line}\n{rest}")
    result = linted(copy)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "BROKEN" in result.stdout
    for module in SPOILT:
        assert f"nodecluster_compat.{module} -> " in result.stdout, result.stdout


def test_what_is_there_is_not(copy: Path) -> None:
    """The same run on the packages as they are."""
    result = linted(copy)
    assert result.returncode == 0, result.stdout + result.stderr
