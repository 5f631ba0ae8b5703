"""A worker that set exitedAfterDisconnect survives the loss of its channel (spec 2.4)."""

from prelude import cluster, later, process, trace, watch

if cluster.is_primary:
    watch("disconnect", "exit")
    cluster.fork()
else:
    process.on("disconnect", lambda: trace("process disconnect"))
    later(0.1, lambda: process.exit(9))
    cluster.worker.exited_after_disconnect = True
    process.disconnect()
