"""SCHED_NONE: each worker accepts by itself; events are the same (spec 3.5). ENV NODE_CLUSTER_SCHED_POLICY=none"""

from prelude import ask, cluster, trace, trace_as, watch, watch_worker

from nodecluster_compat import net

if cluster.is_primary:
    watch()
    trace(cluster.scheduling_policy == cluster.SCHED_NONE)
    w = watch_worker(cluster.fork())
    cluster.on("listening", lambda _, a: ask(a.port, lambda text: (trace_as("P1", text), w.disconnect())))
else:
    net.create_server(lambda sock, peer: sock.sendall(b"served")).listen(0, "127.0.0.1")
