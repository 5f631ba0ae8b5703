"""What a fork of Python costs before it does anything of ours: prints KiB that only one child has, for a stage.

    python forked.py fork | imported | hub | patched

fork      an interpreter that has imported nothing forks, and the child waits
imported  the same, when all that a worker needs was imported before
hub       ... and the child makes gevent's hub, and lets it wait once
patched   ... after it has patched the standard library
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from pathlib import Path

CHILDREN = 4
STAGES = ("fork", "imported", "hub", "patched")


def prepare() -> None:
    """What the primary does before its first fork."""
    import gunicorn.app.wsgiapp  # noqa: F401
    from gunicorn.config import Config

    from nodecluster_compat._gunicorn.arbiter.copy_on_write import prepare_for_workers
    from nodecluster_compat._gunicorn.worker.gevent_worker import ClusterGeventWorker

    prepare_for_workers(ClusterGeventWorker, Config(), logging.getLogger("forked"))


def go_to(stage: int) -> None:
    """In a child."""
    if stage >= STAGES.index("patched"):
        from gevent import monkey

        from nodecluster_compat.gevent_runtime.patching import patching

        with patching():
            monkey.patch_all()
    if stage >= STAGES.index("hub"):
        import gevent

        gevent.sleep(0.001)


def fork_child(stage: int) -> int:
    """Fork one, and wait until it has got there."""
    ready, tell = os.pipe()
    gc.disable()
    pid = os.fork()
    if pid == 0:
        gc.freeze()
        go_to(stage)
        os.write(tell, b"!")
        signal.pause()
    os.close(tell)
    os.read(ready, 1)
    os.close(ready)
    return pid


def private_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def main() -> None:
    stage = STAGES.index(sys.argv[1])
    if stage:
        prepare()
    pids = [fork_child(stage) for _ in range(CHILDREN)]
    print(private_kib(pids[CHILDREN // 2]))
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
