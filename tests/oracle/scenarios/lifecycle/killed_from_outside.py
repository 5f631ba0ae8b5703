"""A worker that signals itself, and one in an endless loop (spec 2.3; upstream kill-infinite-loop)."""

import os
import signal

from prelude import cluster, process, watch

if cluster.is_primary:
    watch("exit", "disconnect")
    cluster.fork({"HOW": "self"})
    cluster.fork({"HOW": "loop"})
    cluster.on("message", lambda w, message, handle: w.process.kill())
elif os.environ["HOW"] == "self":
    os.kill(os.getpid(), signal.SIGABRT)
else:

    def loop(error):
        while True:
            pass

    process.send("looping", callback=loop)
