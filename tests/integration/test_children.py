"""A program that a hook, a handler or a thread of the primary starts keeps its own exit status."""

from __future__ import annotations

import json
from typing import Final

import pytest
from raw_http import until
from stage import Play

from pytest_cluster import Cluster

STARTING: Final = """
import json, os, subprocess, threading
from nodecluster_compat import cluster

def ended(pid):
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

def start(code):
    return subprocess.Popen(["sh", "-c", f"exit {code}"])

def when_ready(server):
    early = start(7)
    if (forked := os.fork()) == 0:
        os._exit(8)
    in_thread = []
    thread = threading.Thread(target=lambda: in_thread.append(start(9).wait()))
    thread.start()

    def ask(worker):
        late = start(10)
        thread.join()
        for pid in (early.pid, forked, late.pid):
            ended(pid)
        cluster.call_later(0.01, tell, late)  # behind a turn, in which the primary waits for its workers

    def tell(late):
        codes = [early.poll(), os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]), in_thread[0], late.poll()]
        print(json.dumps({"codes": codes}), flush=True)

    cluster.on("exit", lambda worker, code, signal: ask(worker))
"""


@pytest.mark.cluster(workers=1, app="pid_echo:app", fresh=True, config=STARTING)
def test_primary_takes_the_exit_status_of_workers_only(cluster: Cluster) -> None:
    """From ``when_ready`` and from an ``exit`` handler; by ``Popen``, by ``fork``, in a thread."""
    cluster.worker(1).kill("SIGTERM")
    until(lambda: '{"codes"' in cluster.log, "the exit statuses")
    (line,) = [line for line in cluster.log.splitlines() if line.startswith('{"codes"')]
    assert json.loads(line)["codes"] == [7, 8, 9, 10]


SCRIPT: Final = """
import subprocess
if cluster.is_primary:
    started = subprocess.Popen(["sh", "-c", "exit 7"])
    cluster.fork()
    def ask(worker, code, signal):
        os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
        cluster.call_later(0.01, lambda: trace(started.poll()))
    cluster.on("exit", ask)
else:
    cluster.worker.disconnect()
"""


def test_primary_of_a_script_takes_the_exit_status_of_workers_only(play: Play) -> None:
    """As Node."""
    assert play(SCRIPT)["P"] == ["7"]
