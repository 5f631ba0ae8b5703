"""The store beside other processes: what a killed one leaves, what a greenlet must not do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from nodecluster_compat.sharing.store import Store

SWITCHES = """
import sys
from gevent import monkey
monkey.patch_all()
import gevent
from nodecluster_compat.errors import WouldBlock
from nodecluster_compat.sharing.lmdb_engine import LmdbEngine
from nodecluster_compat.sharing.store import Store

store = Store(lambda: LmdbEngine(lambda: sys.argv[1]))
other = gevent.spawn(lambda: store.incr("b"))
store.update("a", lambda _: (gevent.sleep(0), None))
try:
    other.get()
except WouldBlock as error:
    print(error)
"""


def test_a_step_that_lets_another_greenlet_run(tmp_path: Path) -> None:
    """That one is told of the step, not that the store is corrupt."""
    done = subprocess.run(
        [sys.executable, "-c", SWITCHES, str(tmp_path)], capture_output=True, text=True, check=False, timeout=50
    )
    assert "has let another greenlet run" in done.stdout, done.stderr


COUNT = """
import os, sys
from nodecluster_compat.sharing.lmdb_engine import LmdbEngine
from nodecluster_compat.sharing.store import Store
store = Store(lambda: LmdbEngine(lambda: sys.argv[1]))
print(store.get("n", 0), flush=True)
while True:
    total = store.incr("n")
    os.write(int(sys.argv[2]), b"+")
"""


def test_a_count_is_exact_whoever_is_killed(folder: Path, store: Store) -> None:
    """Processes count and are killed at any moment: none counts twice or for nothing, and none waits for the dead."""
    told, telling = os.pipe()
    deaths = 0
    os.set_blocking(told, False)
    confirmed = 0
    for _ in range(3):
        workers = [counter(folder, telling) for _ in range(3)]
        for worker in workers:
            assert worker.stdout is not None
            worker.stdout.readline()
        before = store.get("n", 0)
        while store.get("n", 0) < before + 200 and all(worker.poll() is None for worker in workers):
            confirmed += drained(told)
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
            worker.communicate()
            deaths += 1
        assert {worker.returncode for worker in workers} == {-signal.SIGKILL}
    confirmed += drained(told)
    os.close(told)
    os.close(telling)
    assert confirmed <= store.get("n") <= confirmed + deaths
    assert store.incr("n") == store.get("n")


def counter(folder: Path, telling: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", COUNT, str(folder), str(telling)]
    return subprocess.Popen(command, pass_fds=[telling], stdout=subprocess.PIPE)


def drained(fd: int) -> int:
    count = 0
    try:
        while data := os.read(fd, 65536):
            count += len(data)
    except BlockingIOError:
        pass
    return count
