"""An uncaught exception ends a worker with 1, at the top level and in a handler (spec 2.3)."""

import os

from prelude import cluster, process, watch

if cluster.is_primary:
    watch("exit", "disconnect")
    for how in ("top", "message", "timer"):
        cluster.fork({"HOW": how})
    cluster.on("online", lambda w: w.send("go"))
elif os.environ["HOW"] == "top":
    raise RuntimeError("top")
elif os.environ["HOW"] == "message":

    @process.on("message")
    def _(message, handle):
        raise RuntimeError("message")
else:

    @process.on("message")
    def _(message, handle):
        import gevent

        gevent.sleep(0.01)
        raise RuntimeError("timer")
