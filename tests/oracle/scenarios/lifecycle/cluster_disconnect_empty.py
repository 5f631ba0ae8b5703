"""With no workers the callback comes on a later turn, and the cluster stays usable (spec 1.1, 2.9)."""

from prelude import cluster, trace

if cluster.is_primary:

    def first():
        trace("callback")
        w = cluster.fork()
        w.on("online", lambda: cluster.disconnect(lambda: trace("again", len(cluster.workers))))
        w.on("exit", lambda code, signal: trace("exit", w.id))

    cluster.disconnect(first)
    trace("after")
