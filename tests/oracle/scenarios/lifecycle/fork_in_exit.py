"""fork() in an exit handler: ids go on, the new worker is in the table at once (spec 2.14)."""

from prelude import cluster, process, trace

if cluster.is_primary:

    @cluster.on("exit")
    def _(w, code, signal):
        trace("exit", w.id, len(cluster.workers))
        if w.id < 3:
            n = cluster.fork()
            trace("new", n.id, n.id in cluster.workers, n.state)

    cluster.fork()
else:
    process.exit(0)
