"""python-socketio's own tests, of the installed version, with our managers in place of its own."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from importlib import metadata
from pathlib import Path

import pytest

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

OURS = """
import socketio.async_pubsub_manager, socketio.pubsub_manager
from nodecluster_compat.socketio import AsyncClusterManager, ClusterManager

socketio.pubsub_manager.PubSubManager = ClusterManager
socketio.async_pubsub_manager.AsyncPubSubManager = AsyncClusterManager
"""
BROKEN = """
import socketio.pubsub_manager
from nodecluster_compat.socketio import ClusterManager


class Broken(ClusterManager):
    def can_disconnect(self, sid, namespace):
        return True


socketio.pubsub_manager.PubSubManager = Broken
"""


@pytest.fixture(scope="module")
def tests_of_python_socketio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    version = metadata.version("python-socketio")
    wanted = [f"python-socketio=={version}", "--no-deps", "--no-binary", ":all:", "--dest", str(folder)]
    fetched = subprocess.run([sys.executable, "-m", "pip", "download", "-q", *wanted], check=False, timeout=300)
    archives = list(folder.glob("*.tar.gz"))
    if fetched.returncode or not archives:
        pytest.skip("the index does not give the source of python-socketio")
    with tarfile.open(archives[0]) as archive:
        archive.extractall(folder, filter="data")
    return next(folder.glob("python_socketio-*/tests"))


ADMIN = [
    f"tests/{kind}/test_admin.py" for kind in ("common", "async")
]  # they start servers of their own, and take a minute
OTHERS = [*(f"--ignore={one}" for one in ADMIN), "tests/common", "tests/async"]


def outcome(tests: Path, folder: Path, plugin: str, which: list[str]) -> str:
    """Run some of them, and return pytest's last line, without the time."""
    (folder / "replaced.py").write_text(plugin)
    options = [
        "-q",
        "-W",
        "ignore",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:cluster",
        "-p",
        "replaced",
        "-o",
        "asyncio_mode=auto",
    ]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *which],
        cwd=tests.parent,
        env={"PYTHONPATH": str(folder), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    return re.sub(r" in [\d.:() s]+.*", "", ran.stdout.strip().splitlines()[-1])


def test_our_managers_do_as_python_socketios_do(tests_of_python_socketio: Path, tmp_path: Path) -> None:
    """All of its tests pass as without them."""
    unmodified = outcome(tests_of_python_socketio, tmp_path, "", OTHERS)
    assert re.fullmatch(r"\d{3} passed", unmodified)
    assert outcome(tests_of_python_socketio, tmp_path, OURS, OTHERS) == unmodified


def test_its_admin_servers_work_with_our_managers(tests_of_python_socketio: Path, tmp_path: Path) -> None:
    """All of those tests pass, as they do without ours."""
    assert re.fullmatch(r"\d\d passed", outcome(tests_of_python_socketio, tmp_path, OURS, ADMIN))


def test_those_tests_would_notice(tests_of_python_socketio: Path, tmp_path: Path) -> None:
    """A manager of ours that is broken on purpose fails some."""
    assert "failed" in outcome(tests_of_python_socketio, tmp_path, BROKEN, OTHERS)
