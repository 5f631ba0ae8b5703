"""cluster.worker.disconnect(): what the worker and the primary see (spec 2.4, 2.6)."""

from prelude import cluster, later, process, trace, watch, watch_worker

from nodecluster_compat import net

if cluster.is_primary:
    watch()
    watch_worker(cluster.fork())
else:
    w = cluster.worker

    def seen():
        return [w.state, w.exited_after_disconnect, w.is_connected()]

    w.on("disconnect", lambda: trace("worker disconnect", *seen()))
    process.on("disconnect", lambda: trace("process disconnect", *seen()))
    process.on("exit", lambda code: trace("exit", code))
    server = net.create_server()
    server.on("close", lambda: trace("close"))

    def leave():
        trace("same", w.disconnect() is w)
        trace(*seen())
        w.disconnect()

    server.listen(0, "127.0.0.1", callback=lambda: later(0.05, leave))
