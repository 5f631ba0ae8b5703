"""A bound UDP socket that is passed receives there (spec 4.5)."""

import socket

from prelude import cluster, process, trace

from nodecluster_compat import dgram

if cluster.is_primary:
    w = cluster.fork()
    s = dgram.create_socket("udp4")

    def bound():
        port = s.address().port
        w.send("udp", s)

        @w.on("message")
        def _(m, handle):
            if m == "ready":
                s.close()
                with socket.socket(type=socket.SOCK_DGRAM) as client:
                    client.sendto(b"hello", ("127.0.0.1", port))
            else:
                trace(m)
                w.kill("SIGKILL")

    s.bind(0, "127.0.0.1", callback=bound)
else:

    @process.on("message")
    def _(m, s):
        trace(m, isinstance(s, dgram.Socket))
        s.on("message", lambda data, peer: process.send(data.decode()))
        process.send("ready")
