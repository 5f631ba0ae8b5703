"""A port that somebody else has: an error in every worker, and another try works once it is free (spec 3.3)."""

import os

from prelude import cluster, process, trace, trace_as

from nodecluster_compat import net

if cluster.is_primary:
    holder, failed = net.create_server(), []

    def start():
        for _ in range(3):
            cluster.fork({"PORT": str(holder.address().port)})

    @cluster.on("message")
    def _(w, m, handle):
        trace_as(f"P{w.id}", m)
        failed.append(w)
        if len(failed) == 3:
            holder.close(lambda: cluster.workers[1].send("again"))

    holder.listen(0, "127.0.0.1", callback=start)
    cluster.once("listening", lambda w, a: (trace("listening", w.id), cluster.disconnect()))
else:
    s = net.create_server()
    s.on("error", lambda e: process.send(e.code))

    def go(*_):
        s.listen(int(os.environ["PORT"]), "127.0.0.1")

    process.on("message", go)
    go()
