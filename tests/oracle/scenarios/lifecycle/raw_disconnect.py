"""A channel that is closed without asking ends the worker with 0; process hears of nothing (spec 2.3, 2.4)."""

import os

from prelude import cluster, process, trace, watch, watch_worker

if cluster.is_primary:
    watch()
    watch_worker(cluster.fork({"WHO": "worker"}))
    w = watch_worker(cluster.fork({"WHO": "primary"}))
    w.on("message", lambda *_: w.process.disconnect())
else:
    me = cluster.worker
    me.on("disconnect", lambda: trace("worker disconnect", me.exited_after_disconnect, me.is_connected()))
    process.on("disconnect", lambda: trace("never"))
    process.on("exit", lambda code: trace("exit", code))
    if os.environ["WHO"] == "worker":
        process.disconnect()
    else:
        process.send("ready")
