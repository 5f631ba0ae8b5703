"""When the last worker closes its server the primary closes the socket; a path is removed (spec 3.2)."""

import os

from prelude import ask, cluster, process, trace

from nodecluster_compat import net

if cluster.is_primary:
    cluster.fork()
    ports = []

    @cluster.on("listening")
    def _(w, a):
        if a.port > 0:
            ports.append(a.port)
        else:
            trace("exists", os.path.exists(a.address), a.address_type, a.port)
            w.send("close")

    @cluster.on("message")
    def _(w, m, handle):
        def look():
            trace("exists", os.path.exists(m))
            ask(ports[0], lambda text: (trace(text), w.disconnect()))

        cluster.call_later(0.1, look)
else:
    a, b = net.create_server(), net.create_server()
    file = f"/tmp/oracle-{os.getpid()}.sock"
    process.on("message", lambda *_: a.close(lambda: b.close(lambda: process.send(file))))
    a.listen(0, "127.0.0.1", callback=lambda: b.listen(path=file))
