"""Exclusive and implicitly bound UDP sockets are the worker's own; a port in use is an error (spec 3.6)."""

import os

from prelude import cluster, process, trace, watch

from nodecluster_compat import dgram

if cluster.is_primary:
    watch("listening")
    holder = dgram.create_socket("udp4")
    holder.bind(0, "127.0.0.1", callback=lambda: cluster.fork({"PORT": str(holder.address().port)}))
    seen = []

    @cluster.on("message")
    def _(w, m, handle):
        trace(m)
        seen.append(m)
        if len(seen) == 3:
            holder.close()
            w.kill("SIGKILL")
else:
    a, b, c = (dgram.create_socket("udp4") for _ in range(3))
    c.on("error", lambda e: process.send(f"{e.code} {e.syscall}"))

    def sent(error, size):
        process.send(f"implicit {str(b.address().port > 0).lower()}")
        c.bind(int(os.environ["PORT"]), "127.0.0.1")

    def bound():
        process.send("exclusive")
        b.send(b"x", a.address().port, "127.0.0.1", sent)

    a.bind(0, "127.0.0.1", exclusive=True, callback=bound)
