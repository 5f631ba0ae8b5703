"""D4: Node calls back when the first worker is gone, we after the last (spec 2.9)."""

import os

from prelude import cluster, later, process, trace

if cluster.is_primary:
    ready = []
    for hold in (0, 0.3):
        cluster.fork({"HOLD": str(hold)})
    cluster.on("exit", lambda w, code, signal: trace("exit", w.id))

    @cluster.on("message")
    def _(w, message, handle):
        ready.append(w)
        if len(ready) == 2:
            cluster.disconnect(lambda: trace("callback", len(cluster.workers)))
else:
    later(float(os.environ["HOLD"]) + 0.1, lambda: None)
    process.send("ready")
