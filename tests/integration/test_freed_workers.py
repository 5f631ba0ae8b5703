"""What the primary has of a worker is freed when that has ended, without a search for cycles.

Otherwise it would wait for one: Python looks at what has lived for a while when hundreds of such workers have ended.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from freed import WATCH
from programs import run_program
from remote_control import wait_said

from pytest_cluster import Cluster

WHOLE: Final[dict[str, Any]] = {"left": [], "cycles": {}}
ENDS: Final = {
    "TERM": "worker.kill()",
    "KILL": "worker.kill('SIGKILL')",
    "disconnect": "worker.disconnect()",
    "disconnect, with a limit": "worker.disconnect(timeout=60)",
    "end of its channel": "worker.process.disconnect()",
}
LISTEN_AND_END: Final = """
cluster.on("fork", listen)

@cluster.on("listening")
def listens(worker, address):
    if worker.id == 1:
        ask(worker)
        {end}
"""
SERVER: Final = """
def when_ready(server):
    gc.collect()  # what the start has left
"""
SCRIPT: Final = """
from nodecluster_compat import http
{settings}
if cluster.is_primary:
    gc.collect()
    cluster.on("exit", lambda worker, code, signal: worker.id == 1 and cluster.call_later(0.1, finish))
    def finish():
        for worker in cluster.workers.values():
            worker.kill("SIGKILL")
    {first}
    cluster.fork()
else:
    http.create_server(lambda environ, start: []).listen(0)
"""


def ended(end: str) -> Any:
    """The marks of a test in server mode in which worker 1 ends so."""
    return pytest.mark.cluster(app="pid_echo:app", config=WATCH + SERVER + LISTEN_AND_END.format(end=end))


@pytest.mark.table(quick=["KILL", "disconnect"])
@pytest.mark.parametrize("end", [pytest.param(name, marks=ended(end)) for name, end in ENDS.items()])
def test_worker_that_has_ended(cluster: Cluster, end: str) -> None:
    """In whatever way, with listeners, requests that nobody answers, and messages that nobody reads."""
    assert wait_said(cluster, freed=1) == [{"freed": 1, **WHOLE}]


NOT_FORKED: Final = """
fork = os.fork
def refused():
    os.fork = fork
    raise OSError(11, "no more processes")
os.fork = refused

import nodecluster_compat.roles.primary as primary
made = primary.Primary.new_worker
def new_worker(self, env=None):
    worker = made(self, env)
    listen(worker)
    ask(worker)
    worker.on("fork", lambda number=worker.id, parts=parts_of(worker): look_later(number, parts))
    return worker
primary.Primary.new_worker = new_worker
"""


@pytest.mark.cluster(app="pid_echo:app", config=WATCH + SERVER + NOT_FORKED)
def test_worker_that_could_not_be_started(cluster: Cluster) -> None:
    """What it was sent before is given up."""
    assert wait_said(cluster, freed=1) == [{"freed": 1, **WHOLE}]


def script(folder: Path, first: str, settings: str = "", end: str = "") -> list[dict[str, Any]]:
    """Run a script that forks twice, the first time by ``first``; return what it said of the first worker."""
    program = folder / "program.py"
    source = SCRIPT.format(first=first, settings=settings)
    program.write_text(WATCH + LISTEN_AND_END.format(end=end) + source)
    done = run_program([sys.executable, "-m", "nodecluster_compat", str(program)], cwd=folder)
    assert done.returncode == 0, done.stderr
    return [line for line in map(json.loads, done.stdout.splitlines()) if line["freed"] == 1]


@pytest.mark.table(
    quick=["KILL-inherited", "disconnect-piped", "end of its channel-inherited"],
    long=["KILL-piped", "disconnect-inherited", "TERM-inherited", "disconnect, with a limit-piped"],
)
@pytest.mark.parametrize("settings", ["", "cluster.setup_primary(silent=True)"], ids=["inherited", "piped"])
@pytest.mark.parametrize("end", ENDS)
def test_worker_of_a_script(tmp_path: Path, end: str, settings: str) -> None:
    """With pipes and without."""
    assert script(tmp_path, "cluster.fork()", settings, ENDS[end]) == [{"freed": 1, **WHOLE}]


def test_worker_of_a_script_that_could_not_be_started(tmp_path: Path) -> None:
    """Its folder is not there: ``error`` is told, and then all of it is gone."""
    first = (
        "cluster.setup_primary(cwd='/nowhere'); worker = cluster.fork(); listen(worker); ask(worker)\n"
        "    look_later(1, parts_of(worker)); del worker\n"
        "    cluster.setup_primary(cwd=None); cluster.call_later(0.5, finish)"
    )
    assert script(tmp_path, first) == [{"freed": 1, **WHOLE}]


def test_worker_of_a_script_that_was_refused(tmp_path: Path) -> None:
    """``fork()`` has raised, and nobody has ever seen it."""
    first = (
        "cluster.setup_primary(uid='nobody')\n"
        "    try:\n        cluster.fork()\n"
        "    except ValueError:\n        pass\n"
        "    look(1, {}); cluster.setup_primary(uid=None); cluster.call_later(0.5, finish)"
    )
    assert script(tmp_path, first) == [{"freed": 1, **WHOLE}]
