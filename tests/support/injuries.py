"""What can happen to a worker, as functions that run in it: importable nowhere, so found by this file's path.

Standard library and the package under test only.  Each is called at a step (``Faults.at``): between two lines of the
server, in the main greenlet, a request's greenlet or the hub.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from typing import Any

HOG: list[bytearray] = []
SLICE_SECONDS = 0.02
GARBAGE = b"\xff" * 4096


def injure(marker: str, name: str, *args: Any) -> None:
    """Say by a file that it happens, and in which process; then let it happen."""
    with open(f"{marker}.struck.draft", "w", encoding="ascii") as file:
        file.write(str(os.getpid()))
    os.rename(f"{marker}.struck.draft", f"{marker}.struck")
    globals()[name](*args)


def wait_really(seconds: float) -> None:
    """Block the whole process, greenlets and all."""
    try:
        from gevent.monkey import get_original
    except ImportError:
        time.sleep(seconds)
    else:
        get_original("time", "sleep")(seconds)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
    hang()


def crash() -> None:
    """A real one: a read from address 0."""
    import ctypes

    ctypes.string_at(0)


def leave(code: int) -> None:
    os._exit(code)


def hang() -> None:
    while True:
        wait_really(SLICE_SECONDS)


def starve() -> None:
    """Leave the process no memory: its address space is limited to what it has, and that is used up."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        size = int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (size, resource.getrlimit(resource.RLIMIT_AS)[1]))
    for block in (1 << 24, 1 << 20, 1 << 16, 1 << 12):
        try:
            while True:
                HOG.append(bytearray(block))
        except MemoryError:
            continue
    raise MemoryError


def _messages() -> Any:
    from nodecluster_compat import cluster

    assert cluster.worker is not None
    return cluster.worker._line._channel._sock


def _connections() -> Any:
    from nodecluster_compat._gunicorn.arbiter.forking import this_birth

    birth = this_birth()
    return birth.connections if birth.receiver is None else birth.receiver._end._sock


def close_messages() -> None:
    _messages().shutdown(2)


def close_connections() -> None:
    _connections().shutdown(2)


def garbage_frame() -> None:
    _messages().send(GARBAGE)


def garbage_packet() -> None:
    _connections().send(GARBAGE)


def read_nothing(marker: str) -> None:
    """Block as long as the file is there: nobody reads the channels meanwhile."""
    while os.path.exists(marker):
        wait_really(SLICE_SECONDS)


# In the primary


def fill(worker_id: int, most: int) -> bool:
    """Send a worker messages until its channel takes no more; return whether it came to that."""
    from nodecluster_compat import cluster

    channel = cluster.workers[worker_id].line._channel
    channel._max_queued = most
    for _ in range(10_000):
        before = channel.queued_bytes
        cluster.workers[worker_id].send("x" * 16384, callback=lambda _: None)
        if before and channel.queued_bytes == before:
            return True
    return False


def queued(worker_id: int) -> int:
    """How many bytes wait for a worker; -1 when it is gone."""
    from nodecluster_compat import cluster

    worker = cluster.workers.get(worker_id)
    return -1 if worker is None else worker.line._channel.queued_bytes


def held_connections() -> int:
    """How many connections the primary has that no worker has taken."""
    from nodecluster_compat import cluster

    primary: Any = cluster._primary
    count: int = primary.dealer.waiting_connections()
    return count


def closed_doors() -> int:
    """On how many of its listening sockets the primary accepts no more."""
    from nodecluster_compat import cluster

    primary: Any = cluster._primary
    with primary.dealer.held() as engine:
        return sum(1 for listener in engine.listeners if not listener.is_open)


def note_acks(path: str) -> None:
    """From now on one line for each connection that a worker has taken: when, which worker, the client's port."""
    from nodecluster_compat.connections.offers import OfferingEnd

    if hasattr(OfferingEnd.taken, "stock"):
        return
    stock: Any = OfferingEnd.taken
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def taken(self: Any) -> None:
        if self.offered is not None:
            os.write(fd, f"{time.monotonic()} {self.worker_id} {self.offered[1][1]}\n".encode())
        stock(self)

    taken.stock = stock  # type: ignore[attr-defined]
    OfferingEnd.taken = taken  # type: ignore[method-assign]


def descriptors() -> dict[str, str]:
    """What this process has open, by number."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:  # the listing's own
            continue
    return found
