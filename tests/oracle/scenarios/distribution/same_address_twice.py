"""One worker, one fixed address, two servers: the second gets EADDRINUSE and the first goes on (spec 3.1)."""

import os

from prelude import cluster, process, trace

from nodecluster_compat import net

if cluster.is_primary:
    probe = net.create_server()

    def free():
        port = probe.address().port
        probe.close(lambda: cluster.fork({"PORT": str(port)}))

    probe.listen(0, "127.0.0.1", callback=free)
    cluster.on("listening", lambda w, a: trace("listening"))
    cluster.on("message", lambda w, m, handle: (trace(m), cluster.disconnect()))
else:
    port = int(os.environ["PORT"])
    first, second = net.create_server(), net.create_server()

    def failed(e):
        process.send(f"{e.code} {e.syscall} {str(e.port == port).lower()} {e.address} {str(first.listening).lower()}")

    second.on("error", failed)
    first.listen(port, "127.0.0.1", callback=lambda: second.listen(port, "127.0.0.1"))
