"""Timers in both roles: order, arguments, intervals, clearing, refreshing; one that is let go of holds nobody."""

from prelude import cluster, trace, watch


def run(done):
    cluster.set_timeout(trace, 200, "second")
    cluster.set_timeout(trace, 5, "first", "with", "arguments")
    cluster.clear_timeout(cluster.set_timeout(trace, 10, "never"))
    cluster.clear_timeout(None)
    cluster.set_timeout(trace, 60000, "never").unref()
    cluster.set_interval(trace, 60000, "never").unref()
    held = cluster.set_timeout(trace, 300, "held").unref()
    trace(held.has_ref(), held.ref().has_ref())
    refreshed = cluster.set_timeout(lambda: (trace("refreshed"), done()), 600)
    cluster.set_timeout(refreshed.refresh, 400)
    cluster.set_timeout(trace, 800, "before")
    count = 0

    def tick(word):
        nonlocal count
        count += 1
        trace(word, count)
        if count == 3:
            cluster.clear_interval(interval)

    interval = cluster.set_interval(tick, 20, "tick")


if cluster.is_primary:
    run(lambda: (watch("exit"), cluster.fork()))
else:
    run(cluster.worker.disconnect)
