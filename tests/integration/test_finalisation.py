"""What an application holds is finalised at every orderly end: of a worker, of the primary, of a script's worker."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import pytest
from raw_http import folder_of, until
from stage import Play

from pytest_cluster import Cluster, ClusterFactory

KINDS: Final = {"atexit", "finalize", "module", "class", "cycle", "finalized", "handler"}


def ends(folder: Path) -> dict[int, Counter[str]]:
    """What was finalised, by process."""
    found: dict[int, Counter[str]] = {}
    for line in (folder / "ends").read_text().splitlines():
        pid, what = line.split(" ", 1)
        found.setdefault(int(pid), Counter())[what] += 1
    return found


def assert_finalised(folder: Path, *pids: int) -> None:
    """Each of these processes has finalised each kind, once."""
    for pid in pids:
        assert ends(folder)[pid] == Counter(KINDS), pid


@pytest.mark.slow
@pytest.mark.cluster(workers=1, app="holding:app", fork_server=False)
def test_what_a_worker_holds_is_finalised(cluster: Cluster) -> None:
    """After a reload and after the end of the server: files are written to their ends, temporary ones are gone."""
    folder = folder_of(cluster)
    first = [int(cluster.get("/").body) for _ in range(3)]
    cluster.primary.signal("SIGHUP")
    until(lambda: "exit" in [one.event for one in cluster.journal.entries], "the end of the old worker")
    second = [int(cluster.get("/").body) for _ in range(2)]
    cluster.primary.signal("SIGTERM")
    until(lambda: cluster.returncode is not None, "the end of the server")
    assert_finalised(folder, first[0], second[0])
    for pids in (first, second):
        assert (folder / f"audit.{pids[0]}").read_text().split() == [str(pid) for pid in pids]
    assert not list(folder.glob("temporary.*"))
    assert "Exception ignored" not in cluster.log


@pytest.mark.slow
@pytest.mark.cluster(workers=2, app="holding:app", fork_server=False, preload=True, settings={"max_requests": 1})
def test_what_a_preloaded_application_holds_is_finalised(cluster: Cluster) -> None:
    """In a worker that has served enough, in others that TERM ends, and in the primary, without a traceback."""
    folder = folder_of(cluster)
    served = int(cluster.get("/").body)
    until(lambda: "exit" in [one.event for one in cluster.journal.entries], "the end of the worker that served")
    cluster.wait_listening(2)
    primary, workers = cluster.primary.pid, [one.pid for one in cluster.workers]
    cluster.primary.signal("SIGTERM")
    until(lambda: cluster.returncode is not None, "the end of the server")
    assert_finalised(folder, served, primary, *workers)
    assert (folder / f"audit.{primary}").read_text().split() == [str(served)]
    assert "Exception ignored" not in cluster.log
    assert "Traceback" not in cluster.log


@pytest.mark.slow
@pytest.mark.parametrize("preload", [False, True])
def test_files_that_are_no_names_of_a_module_are_written_to_their_ends(
    cluster_factory: ClusterFactory, preload: bool
) -> None:
    """A factory's closure, an object's attribute, a handler of logging, a module of Python's."""
    cluster = cluster_factory(workers=1, app="holding_deeply:create_app()", fork_server=False, preload=preload)
    folder = folder_of(cluster)
    assert cluster.get("/").status == 200
    cluster.primary.signal("SIGTERM")
    until(lambda: cluster.returncode is not None, "the end of the server")
    places = ("closure", "attribute", "handler", "standard", "builtin")
    assert {place: (folder / place).read_text() for place in places} == dict.fromkeys(places, "written")


@pytest.mark.slow
@pytest.mark.cluster(workers=1, app="holding:app", fork_server=False)
def test_what_a_worker_that_disconnects_holds_is_finalised(cluster: Cluster) -> None:
    """As after a signal."""
    folder = folder_of(cluster)
    pid = int(cluster.get("/").body)
    cluster.worker(1).disconnect()
    until(lambda: pid in ends(folder) and ends(folder)[pid] == Counter(KINDS), "everything to be finalised")


@pytest.mark.slow
@pytest.mark.cluster(workers=1, app="holding:asgi", worker_class="nodecluster_compat.ASGIWorker", fork_server=False)
def test_what_an_asgi_worker_holds_is_finalised(cluster: Cluster) -> None:
    """Connections and the lifespan let go of the application."""
    folder = folder_of(cluster)
    pid = int(cluster.get("/").body)
    cluster.primary.signal("SIGTERM")
    until(lambda: cluster.returncode is not None, "the end of the server")
    assert_finalised(folder, pid)
    assert (folder / f"audit.{pid}").read_text().split() == [str(pid)]
    assert not list(folder.glob("temporary.*"))


ENDING = """
import atexit, threading, weakref
class Held:
    def __del__(self, write=os.write): write(1, b"W1 held\\n")
primary = open("primary", "w")
if cluster.is_primary:
    atexit.register(trace, "atexit of the primary")
    try:
        cluster.fork()
    finally:
        trace("finally")
    cluster.on("exit", lambda worker, code, signal: trace("exit", code, signal))
else:
    audit, held, finalized = open("audit", "w"), Held(), Held()
    weakref.finalize(finalized, trace, "finalize")
    atexit.register(trace, "atexit")
    audit.write("written")
    {end}
"""
LEAVES: Final = ["atexit", "finalize", "held", "held"]


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("cluster.worker.disconnect()", 0),
        ("process.on('message', print)\n    process.exit(3)", 3),
        ("import gevent\n    gevent.spawn_later(0, process.exit, 4)\n    http.create_server(print).listen()", 4),
    ],
)
def test_script_worker_ends_as_a_program(play: Play, tmp_path: Path, end: str, code: int) -> None:
    """What its script holds is finalised; nothing of the primary's, far down the same stack, is."""
    trace = play(ENDING.replace("{end}", end), quiet=False)
    assert sorted(trace["W1"]) == LEAVES
    assert trace["P"] == ["finally", f"exit {code} -", "atexit of the primary"]
    assert (tmp_path / "audit").read_text() == "written"


CONNECTED = """
from http.client import HTTPConnection
if cluster.is_primary:
    import threading
    def ask(worker, port):
        client = HTTPConnection("127.0.0.1", port)
        client.request("GET", "/")
        client.getresponse().read()
        cluster.call_soon_threadsafe(worker.send, "end")
        ended.wait()
    ended = threading.Event()
    worker = cluster.fork()
    worker.on("listening", lambda address: threading.Thread(target=ask, args=(worker, address.port)).start())
    worker.on("exit", lambda code, signal: (trace("exit", code), ended.set()))
else:
    audit = open("audit", "w")
    def app(environ, start_response):
        audit.write("written")
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]
    http.create_server(app).listen()
    process.on("message", lambda *_: process.exit(5))
"""


def test_connection_that_is_open_holds_nothing(play: Play, tmp_path: Path) -> None:
    """``process.exit()`` while a client may still ask: an orderly end of it, without a traceback."""
    assert play(CONNECTED)["P"] == ["exit 5"]
    assert (tmp_path / "audit").read_text() == "written"


ENDLESS = """
from nodecluster_compat import cluster, process
import threading
if cluster.is_primary:
    cluster.fork()
    cluster.on("exit", lambda worker, code, signal: print("exit", code, flush=True))
else:
    threading.Thread(target=threading.Event().wait, name="endless").start()
    process.exit(5)
"""


@pytest.mark.slow
def test_thread_that_never_ends_is_named(tmp_path: Path) -> None:
    """``process.exit()`` in a script waits a moment for threads, and says for whom it waits no longer."""
    (tmp_path / "program.py").write_text(ENDLESS)
    command = [sys.executable, "-m", "nodecluster_compat", "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)
    assert done.stdout == "exit 5\n"
    assert "ends although threads have not: endless" in done.stderr


LATE = """
import os, signal
from nodecluster_compat._gunicorn.arbiter.finalisation import finalise_as_python_does
class Late:
    def __del__(self, kill=os.kill, pid=os.getpid(), number=int(signal.SIGTERM)):
        kill(pid, number)
finalise_as_python_does()
signal.signal(signal.SIGTERM, lambda *_: None)
late = Late()
"""


def test_second_term_does_not_cut_the_end_of_a_primary() -> None:
    """It comes while modules are finalised, when Python has taken the handlers off."""
    subprocess.run([sys.executable, "-c", LATE], check=True)
