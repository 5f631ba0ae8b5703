"""throng in Python: so many workers, revived while they should be, and told of signals.  Times are in milliseconds."""

import math
import os
import time

from nodecluster_compat import cluster, process


def throng(worker, master=lambda: None, count=None, lifetime=math.inf, grace=5_000, signals=("SIGTERM", "SIGINT")):
    if cluster.is_worker:
        worker(cluster.worker.id, disconnect)
        return

    revive_until = time.time() * 1000 + lifetime
    running = True

    def listen():
        cluster.on("disconnect", revive)
        for signal in signals:
            process.on(signal, shutdown(signal))

    def shutdown(signal):
        def on_signal():
            nonlocal running
            running = False
            cluster.set_timeout(lambda: force_kill(signal), grace).unref()
            for each in list(cluster.workers.values()):
                each.process.kill(signal)

        return on_signal

    def revive():
        if running and time.time() * 1000 < revive_until:
            cluster.fork()

    def force_kill(signal):
        for each in list(cluster.workers.values()):
            each.kill(signal)
        process.exit()

    listen()
    master()
    for _ in range(os.cpu_count() if count is None else count):
        cluster.fork()


def disconnect():
    """Queue the disconnect for a short time in the future, as the original does."""
    cluster.set_timeout(cluster.worker.disconnect, 50)
