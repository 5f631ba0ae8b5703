"""process.exitCode counts when the worker ends by itself, and makes isDead() true inside (spec 1.4, 2.3)."""

from prelude import cluster, process, trace, watch

if cluster.is_primary:
    watch("exit")
    cluster.fork()
    cluster.on("online", lambda w: w.disconnect())
else:
    trace(cluster.worker.is_dead())
    process.exit_code = 5
    trace(cluster.worker.is_dead())
