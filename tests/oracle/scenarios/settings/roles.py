"""What exists on which side (spec 1.1, 1.2)."""

from prelude import cluster, process, trace, watch

NAMES = ["fork", "disconnect", "setup_primary", "setup_master", "workers", "settings", "scheduling_policy", "SCHED_RR"]
NAMES += ["worker", "Worker", "is_primary", "is_master", "is_worker"]
trace("".join(str(int(getattr(cluster, name, None) is not None)) for name in NAMES))
if cluster.is_primary:
    w = cluster.fork()
    watch("exit")
    w.on("online", lambda: w.disconnect())
else:
    trace(cluster.worker.id, cluster.worker.process is process, cluster.is_primary, cluster.is_worker)
