"""A server that is closed in its own listening callback was never listening for the primary (spec 2.1)."""

from prelude import cluster, process, trace, watch, watch_worker

from nodecluster_compat import net

if cluster.is_primary:
    watch()
    watch_worker(cluster.fork())
    cluster.on("message", lambda w, message, handle: w.disconnect())
else:
    s = net.create_server()

    def closed():
        trace("closed", cluster.worker.state)
        process.send("x")

    s.listen(0, "127.0.0.1", callback=lambda: s.close(closed))
