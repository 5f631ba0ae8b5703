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
