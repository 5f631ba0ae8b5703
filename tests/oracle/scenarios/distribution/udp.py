"""UDP sockets are shared whatever the policy; what listening says of them (spec 2.2, 3.6)."""

import socket

from prelude import cluster, process, trace, watch

from nodecluster_compat import dgram

if cluster.is_primary:
    watch("listening", "exit")
    listening = []

    @cluster.on("listening")
    def _(w, a):
        listening.append(w)
        if len(listening) == 1:
            cluster.fork()
        else:
            with socket.socket(type=socket.SOCK_DGRAM) as client:
                client.sendto(b"hello", ("127.0.0.1", a.port))

    cluster.on("message", lambda w, m, handle: (trace(m), cluster.disconnect()))
    cluster.fork()
else:
    dgram.create_socket("udp4", lambda data, peer: process.send(data.decode())).bind(0, "127.0.0.1")
