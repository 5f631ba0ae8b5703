"""After the disconnect what the worker still does keeps its process alive (spec 2.5; upstream worker-no-exit)."""

from prelude import cluster, later, process, trace, watch

if cluster.is_primary:
    watch("disconnect", "exit")
    cluster.fork()
    cluster.on("online", lambda w: w.disconnect())
else:

    def done():
        trace("done")
        process.exit_code = 3

    process.on("disconnect", lambda: (trace("disconnect"), later(0.2, done)))
