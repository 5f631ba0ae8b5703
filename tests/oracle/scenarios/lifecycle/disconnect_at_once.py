"""A disconnect right after fork(): the order, and a listen() that is never answered (spec 2.5)."""

from prelude import cluster, trace, trace_as, watch, watch_worker

from nodecluster_compat import net

if cluster.is_primary:
    watch()
    watch_worker(cluster.fork()).disconnect()
    cluster.on("setup", lambda settings: trace_as("P1", "setup"))
else:
    net.create_server().listen(0, "127.0.0.1", callback=lambda: trace("never"))
