"""A process that a request forks runs what the request does there, and nothing of the worker's."""

from __future__ import annotations

import os
import signal
from typing import Final

import pytest
from raw_http import HEAD, PATIENCE, folder_of, parent_of, rest_of, until
from remote_control import REMOTE, here, wait_logged
from stage import Play

from pytest_cluster import Cluster

PAY: Final = HEAD.replace(b"/", b"/pay", 1) + b"\r\n"
GOES_ON: Final = ["child goes on"]
CASES: Final[dict[str, tuple[str, list[str]]]] = {
    "/process": ("0", []),
    "/shell": ("0", []),
    "/threaded": ("0", []),
    "/terminated": ("-15", []),
    "/exits": ("4", GOES_ON),
    "/sys-exits": ("5", GOES_ON),
    "/raises": ("1", GOES_ON),
    "/returns": ("0", GOES_ON),
    "/waits": ("1", GOES_ON),
    "/thread": ("0", GOES_ON),
    "/timer": ("0", GOES_ON),
    "/terminal": ("hello", []),
    "/pool": ("[1, 4, 9]", []),
    "/executor": ("[1, 4, 9]", []),
    "/queue": ("300000", []),
}

LEAVING: Final = "pid = os.fork()\nif pid == 0:\n    __import__('time').sleep(60)\nresult = pid"


def children_of(pid: int) -> list[int]:
    """The processes whose parent this is."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if parent_of(int(name)) == pid:
                found.append(int(name))
        except OSError:
            continue
    return found


def beside_another(cluster: Cluster, path: str) -> tuple[str, bytes, list[str]]:
    """Ask for ``path`` while another request waits; return both answers, and what was said."""
    said = folder_of(cluster) / "children"
    said.write_text("")
    with cluster.connect(timeout=PATIENCE) as waiting:
        waiting.sendall(PAY)
        until(lambda: cluster.get("/waiting").body == b"1", "the request to wait")
        body = cluster.get(path, timeout=PATIENCE).body.decode()
        cluster.get("/open")
        paid = rest_of(waiting)
    return body, paid, said.read_text().splitlines()


@pytest.mark.cluster(workers=1, app="forking_app:app")
@pytest.mark.parametrize("path", CASES)
def test_child_is_not_the_worker(cluster: Cluster, path: str) -> None:
    """The request goes on in it, and it ends; another request that waited is answered once."""
    answer, said = CASES[path]
    body, paid, heard = beside_another(cluster, path)
    assert body == answer
    assert paid.count(b"HTTP/1.1") == 1
    assert sorted(heard) == sorted([*said, "worker paid"])
    until(lambda: not children_of(cluster.workers[0].pid), "the end of every child")
    until(lambda: cluster.workers[0].requests_in_flight == 0, "each request to be counted once, by its worker")


@pytest.mark.cluster(workers=1, app="forking_app:app", fresh=True, preload=True)
def test_pool_in_a_view_of_a_preloaded_application(cluster: Cluster) -> None:
    """``multiprocessing`` was imported before anything was patched."""
    assert cluster.get("/pool", timeout=PATIENCE).body == b"[1, 4, 9]"


@pytest.mark.cluster(**REMOTE, workers=1)
def test_child_that_outlives_its_worker_is_named(cluster: Cluster) -> None:
    """The worker ends in time; what it leaves behind is in the log, and ends by itself."""
    pid = here(cluster, LEAVING)["result"]
    cluster.primary.signal("SIGTERM")
    until(lambda: cluster.returncode is not None, "the end of the server")
    wait_logged(cluster, f"and they go on: pid {pid}")
    os.kill(pid, signal.SIGTERM)  # it is nobody's worker: the signal means what it does by default
    until(lambda: not os.path.exists(f"/proc/{pid}/fd") or not os.listdir(f"/proc/{pid}/fd"), "its end")


SCRIPT = """
import time
if cluster.is_primary:
    worker = cluster.fork()
    worker.on("online", lambda: (worker.send("fork"), worker.send("more")))
    cluster.on("message", lambda worker, message, handle: worker.disconnect())
    cluster.on("exit", lambda worker, code, signal: trace("exit", code))
else:
    def told(message, handle):
        if message == "more":
            process.send("done") if children else None
            return
        pid = os.fork()
        if pid == 0:
            time.sleep(0.05)
            print("child goes on", flush=True)
            return
        children.append(os.waitpid(pid, 0))
    children = []
    process.on("message", told)
    if (pid := os.fork()) == 0:
        time.sleep(0.05)
        print("child of the script", flush=True)
    else:
        os.waitpid(pid, 0)
"""


def test_children_of_a_script_worker(play: Play) -> None:
    """One is forked by a message's handler, one by the script itself: no further message is theirs, both end."""
    trace = play(SCRIPT)
    assert sorted(trace["child"]) == ["goes on", "of the script"]  # they live side by side
    assert trace["P"] == ["exit 0"]
