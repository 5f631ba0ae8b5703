"""The number that listen(0) gave cannot be asked for by number (spec 3.1)."""

import os

from prelude import cluster, process, trace

from nodecluster_compat import net

if cluster.is_primary:
    cluster.once("listening", lambda w, a: cluster.fork({"PORT": str(a.port)}))
    cluster.on("message", lambda w, m, handle: (trace(m), cluster.disconnect()))
    cluster.fork()
else:
    s = net.create_server()
    s.on("error", lambda e: process.send(f"{e.code} {e.syscall}"))
    s.listen(int(os.environ.get("PORT", "0")), "127.0.0.1")
