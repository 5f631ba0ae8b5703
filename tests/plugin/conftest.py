"""Projects of their own for the plugin's tests: one on the fake gunicorn, one on the real."""

from __future__ import annotations

import os
import shutil
from functools import cache
from importlib import import_module, metadata
from pathlib import Path

import pytest

from pytest_cluster.options.settings import SETTINGS

HERE = Path(__file__).parent
FAKES = HERE / "fakes"
HOME = os.environ.get("HOME", "/")
SHOP = HERE.parent / "apps" / "shop.py"

# A run inside this one forgets at its end what it was the first to import, and the next would import it again.
for _name in (
    "_pytest.stepwise",
    "pytest_cluster.clusters.cluster",
    "pytest_cluster.clusters.prepared",
    "pytest_cluster.failures.sections",
    "pytest_cluster.options.recipe",
    *(f"pytest_cluster.session.{name}" for name in ("asking", "compare", "ending", "parametrize", "pool")),
    *(f"pytest_cluster.session.{name}" for name in ("reuse_forecast", "summary", "telling", "totals")),
):
    import_module(_name)


distributions = metadata.distributions


@cache
def with_plugins() -> list[metadata.Distribution]:
    return [one for one in distributions() if any(entry.group == "pytest11" for entry in one.entry_points)]


@pytest.fixture(autouse=True)
def no_settings_from_outside(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this run of pytest was given is not for the runs inside it."""
    if "pytester" in request.fixturenames:
        request.getfixturevalue("pytester")  # which takes PYTEST_ADDOPTS away
        # gunicorn reads it at import: a template that is started with another forks nothing for the rest of this run.
        monkeypatch.setenv("HOME", HOME)
    for setting in SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)
    # Hypothesis, xdist and others take longer to import than most of these runs last; tests/zoo runs beside them.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p cluster -p timeout")
    # For each "-p" a run inside this one reads the entry points of all that is installed.
    monkeypatch.setattr(metadata, "distributions", lambda: iter(with_plugins()))


@pytest.fixture
def fakes(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project whose clusters run on the fake gunicorn."""
    pytester.makeconftest(
        f"""
        import pytest

        TAKEN = ""

        @pytest.fixture(scope="session")
        def cluster_options():
            options = {{"app": "ready", "cwd": {str(FAKES)!r}, "start_timeout": 10}}
            options.pop(TAKEN, None)
            return options

        @pytest.fixture(autouse=True)
        def note_the_session(request):
            values = request.node.funcargs
            yield
            if "cluster" in values:
                with open("sessions", "a") as sessions:
                    print(values["cluster"].primary.pid, file=sessions)
        """
    )
    return pytester


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs within this one fork their servers."""
    monkeypatch.setenv("PYTEST_CLUSTER_FORK_SERVER", "1")


@pytest.fixture
def shop(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with the shop of tests/apps, on the real gunicorn, which is forked where this run's is."""
    shutil.copy(SHOP, pytester.path / "shop.py")
    pytester.makeini("[pytest]\ncluster_app = shop:app\ncluster_fork_server = true\n")
    return pytester
