"""Projects of their own for the plugin's tests: one on the fake gunicorn, one on the real."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FAKES = HERE / "fakes"
SHOP = HERE.parent / "apps" / "shop.py"


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this run of pytest was given is not for the runs inside it."""
    for name in ("WORKERS", "APP", "POLICY", "START_TIMEOUT", "SLOW_FACTOR", "COMPARE", "KEEP"):
        monkeypatch.delenv(f"PYTEST_CLUSTER_{name}", raising=False)


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
def shop(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with the shop of tests/apps, on the real gunicorn."""
    shutil.copy(SHOP, pytester.path / "shop.py")
    pytester.makeini("[pytest]\ncluster_app = shop:app\n")
    return pytester
