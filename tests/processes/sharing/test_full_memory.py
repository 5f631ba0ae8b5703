"""A store in a file system that is really full: refused by a sentence, read all the same, and well again with room."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FILL = """
import os, sys
from nodecluster_compat.errors import StoreFull
from nodecluster_compat.sharing.lmdb_engine import LmdbEngine
from nodecluster_compat.sharing.store import Store

folder = sys.argv[1]
store = Store(lambda: LmdbEngine(lambda: folder))
store.set("first", 1)
ballast = os.open(f"{folder}/ballast", os.O_CREAT | os.O_WRONLY)
try:
    while True:
        os.write(ballast, b"x" * 4096)
except OSError:
    pass
refused = 0
for number in range(2000):
    try:
        store.set(f"key {number}", "x" * 1000)
    except StoreFull as error:
        refused += 1
        sentence = str(error)
assert refused, "the file system was not full"
assert "expected room" in sentence, sentence
store.get("first")
os.ftruncate(ballast, 0)
store.set("last", 2)
assert store.get("last") == 2
print("well again")
"""


def test_a_full_file_system(tmp_path: Path) -> None:
    """As ``/dev/shm`` is when something else has filled it."""
    inside = f'mount -t tmpfs -o size=3m none {tmp_path} && exec {sys.executable} -c "$0" {tmp_path}'
    own = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*own, f"mount -t tmpfs none {tmp_path}"], check=False).returncode
    ):
        pytest.skip("this machine lets nobody mount a file system of his own (unshare --map-root-user --mount)")
    done = subprocess.run([*own, inside, FILL], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("well again\n", "")


SERVED = """
from nodecluster_compat import cluster
from nodecluster_compat.errors import ClusterError

heard = []
cluster.bus.subscribe("topic", lambda topic, message: heard.append(message))

def app(environ, start_response):
    try:
        cluster.store.set("key", "x" * 1000)
        found = "kept"
    except ClusterError as error:
        found = type(error).__name__
    with cluster.lock("lock"):
        cluster.bus.publish("topic", 1)
    start_response("200 OK", [("Content-Length", str(len(found)))])
    return [found.encode()]
"""
ASK = """
import http.client, os, subprocess, sys, time
folder = sys.argv[1]
ballast = os.open("/dev/shm/ballast", os.O_CREAT | os.O_WRONLY)
try:
    while True:
        os.write(ballast, b"x" * 4096)
except OSError:
    pass
command = [sys.executable, "-m", "gunicorn", "-k", "nodecluster_compat.Worker", "-w", "2", "-b", f"unix:{folder}/s"]
command += ["--pythonpath", folder, "--log-file", f"{folder}/log", "--no-control-socket", "served:app"]

import socket
class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(f"{folder}/s")

def ask():
    while server.poll() is None:
        try:
            connection = Connection("test")
            connection.request("GET", "/")
            return connection.getresponse().read().decode()
        except (FileNotFoundError, ConnectionError):
            time.sleep(0.02)

server = subprocess.Popen(command)
print({ask() for _ in range(6)})
os.ftruncate(ballast, 0)
print({ask() for _ in range(6)})
server.terminate()
print(server.wait(), "Traceback" in open(f"{folder}/log").read())
"""


def test_a_server_where_memory_is_full(tmp_path: Path) -> None:
    """It starts and serves, locks and topics are there; the store says that it has no room, until there is some."""
    (tmp_path / "served.py").write_text(SERVED)
    own = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    mount = "mount -t tmpfs -o size=1m none /dev/shm"
    if shutil.which("unshare") is None or subprocess.run([*own, mount], check=False).returncode:
        pytest.skip("this machine lets nobody mount a file system of his own (unshare --map-root-user --mount)")
    command = [*own, f'{mount} && exec {sys.executable} -c "$0" {tmp_path}', ASK]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    log = (tmp_path / "log").read_text()
    assert done.stdout.splitlines() == ["{'StoreUnavailable'}", "{'kept'}", "0 False"], (done.stderr, log)
