"""Programs that nobody here wrote, in Python beside their originals: both leave the same trace.

They are ``examples/ports``.  As in ``test_oracle``, what Node says is recorded for each version, and the slow tests
verify that it still says so.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
from node import NODE_VERSIONS, node
from programs import run_program
from recordings import Recording
from traces import Trace, traced

PORTS = Path(__file__).parents[2] / "examples" / "ports"
FOLDER = Path(__file__).parent / "recordings"
RECORDINGS = {version: Recording(FOLDER / f"ports-node{version}.json") for version in NODE_VERSIONS}
NAMES = sorted(path.name.removesuffix("_demo.py") for path in PORTS.glob("*_demo.py"))


def run(command: list[str]) -> Trace:
    """Run a demo; its argument is a port that is free."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = run_program([*command, str(port)], cwd=PORTS)
    assert done.stderr == ""
    return traced(f"{done.stdout}exit code {done.returncode}")


def test_there_are_five() -> None:
    """And each has its original beside it."""
    assert NAMES == ["cluster_metrics", "rate_limiter", "recluster", "sticky_session", "throng"]
    for name in NAMES:
        assert (PORTS / f"{name}_demo.js").exists()
        assert (PORTS / f"{name}.js").exists() or (PORTS / name / "index.js").exists()


@pytest.mark.parametrize("name", NAMES)
def test_port_leaves_the_trace_of_its_original(name: str) -> None:
    """On every version that is recorded."""
    ours = run([sys.executable, "-m", "nodecluster_compat", f"{name}_demo.py"])
    for version in NODE_VERSIONS:
        assert ours == RECORDINGS[version][name], version


@pytest.mark.slow
@pytest.mark.parametrize("version", NODE_VERSIONS)
@pytest.mark.parametrize("name", NAMES)
def test_original_leaves_the_recorded_trace(name: str, version: str, recording_anew: bool) -> None:
    """The recordings are what the originals do on Node itself."""
    trace = run([node(version), f"{name}_demo.js"])
    if recording_anew:
        RECORDINGS[version].write(name, trace)
    assert trace == RECORDINGS[version][name]
