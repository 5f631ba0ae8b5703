"""exclusive: bound in the worker, unknown to the primary; the second worker gets EADDRINUSE (spec 3.4)."""

import os

from prelude import cluster, process, trace, watch

from nodecluster_compat import net

if cluster.is_primary:
    watch("listening")
    cluster.fork({"PORT": "0"})

    @cluster.on("message")
    def _(w, m, handle):
        trace(w.id, w.state, m[0], m[1])
        if w.id == 1:
            cluster.fork({"PORT": str(m[2])})
        else:
            for worker in list(cluster.workers.values()):
                worker.kill()
else:
    s = net.create_server()
    s.on("error", lambda e: process.send([e.code, e.syscall]))

    def listening():
        process.send(["listening", cluster.worker.state, s.address().port])

    s.listen(int(os.environ["PORT"]), "127.0.0.1", exclusive=True, callback=listening)
