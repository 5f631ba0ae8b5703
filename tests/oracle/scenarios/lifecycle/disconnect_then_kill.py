"""A kill after a disconnect is still a voluntary end (spec 2.3)."""

from prelude import cluster, process, watch, watch_worker

if cluster.is_primary:
    watch("exit", "disconnect")
    w = watch_worker(cluster.fork())
    cluster.on("message", lambda *_: (w.disconnect(), w.kill()))
else:
    process.send("ready")
