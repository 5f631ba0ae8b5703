"""A server says whether its C extension serves: in the first line of ours, and in the status."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nodecluster_compat.base.native import in_force
from nodecluster_compat.base.version import __version__
from pytest_cluster import Cluster

WHY = "NODECLUSTER_NATIVE=0"


def asked() -> tuple[bool, str]:
    from nodecluster_compat import cluster

    native = cluster.status.native
    return native.is_on, native.why_not


@pytest.mark.cluster(workers=1, env={"NODECLUSTER_NATIVE": "0"})
def test_it_is_switched_off(cluster: Cluster) -> None:
    """In the first line of ours, and in the status."""
    from remote_control import wait_logged  # not at the top: servers import this file

    assert cluster.get("/").status == 200
    assert cluster.primary.run(asked) == (False, WHY)
    wait_logged(cluster, f"nodecluster-compat {__version__}, in Python alone ({WHY})")


def test_script_says_it_where_it_logs(tmp_path: Path) -> None:
    """The primary as its options say, a worker as the settings of its fork do."""
    script = tmp_path / "script.py"
    script.write_text(
        "from nodecluster_compat import cluster\n"
        "if cluster.is_primary:\n"
        "    cluster.setup_primary(loglevel='info')\n"
        "    cluster.fork()\n"
        "else:\n"
        "    cluster.worker.disconnect()\n"
    )
    for options, lines in (("", 1), ("--log-level info", 2)):
        environ = {**os.environ, "GUNICORN_CMD_ARGS": options}
        command = [sys.executable, "-m", "nodecluster_compat", str(script)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=50, check=True)
        assert done.stderr.count(f"nodecluster-compat {__version__}, {in_force()}\n") == lines


@pytest.mark.skipif(in_force().module is None, reason=str(in_force()))
@pytest.mark.cluster(workers=1)
def test_it_serves(cluster: Cluster) -> None:
    """Where it is built, and nobody has switched it off."""
    from remote_control import wait_logged

    assert cluster.get("/").status == 200
    assert cluster.primary.run(asked) == (True, "")
    wait_logged(cluster, f"nodecluster-compat {__version__}, with its C extension")
