"""What nobody catches in a timer: listeners of process hear of it first; then it ends with 1, 7, or goes on."""

import os

from prelude import cluster, process, trace, watch

if cluster.is_primary:
    watch("disconnect", "exit")
    for how in ("nobody", "taken", "raises", "exits", "top"):
        cluster.fork({"HOW": how})
else:
    how = os.environ["HOW"]

    def accident():
        raise RuntimeError("accident")

    def uncaught(error, origin):
        trace("uncaught", str(error), origin)
        if how == "raises":
            raise RuntimeError("another accident")
        if how == "exits":
            process.exit(9)
        cluster.worker.disconnect()

    process.on("exit", lambda code: trace("exit", code))
    process.on("uncaughtExceptionMonitor", lambda error, origin: trace("monitor", str(error), origin))
    if how != "nobody":
        process.on("uncaughtException", uncaught)
    if how == "top":
        accident()
    else:
        cluster.set_timeout(accident, 10)
