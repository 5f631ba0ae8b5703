"""cluster.worker.kill() ignores its argument, leaves at once with 0 (spec 1.4, 2.4)."""

from prelude import cluster, process, trace, watch, watch_worker

if cluster.is_primary:
    watch()
    watch_worker(cluster.fork())
else:
    w = cluster.worker
    w.on("disconnect", lambda: trace("worker disconnect", w.exited_after_disconnect, w.is_connected()))
    process.on("disconnect", lambda: trace("process disconnect"))
    process.on("exit", lambda code: trace("exit", code))
    trace("returns", w.kill("SIGKILL"))
    trace(w.state, w.exited_after_disconnect)
    w.kill()
