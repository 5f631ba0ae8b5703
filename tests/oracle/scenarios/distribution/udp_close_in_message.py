"""A socket that closes itself in a handler hears no more, and leaves what is still to come to its sibling."""

import socket as sockets

from prelude import cluster, process, trace, watch

from nodecluster_compat import dgram

if cluster.is_primary:
    watch("exit")
    bound = []

    @cluster.on("message")
    def _(w, port, handle):
        bound.append(w)
        if len(bound) == 2:
            with sockets.socket(type=sockets.SOCK_DGRAM) as client:
                for number in range(8):
                    client.sendto(b"%d" % number, ("127.0.0.1", port))

    cluster.fork()
    cluster.fork()
else:
    heard = []

    def received(data, peer):
        heard.append(data)
        if len(heard) == 4:
            socket.close(lambda: cluster.set_timeout(lambda: (trace(len(heard)), cluster.worker.disconnect()), 200))

    socket = dgram.create_socket("udp4", received)
    socket.bind(0, "127.0.0.1", callback=lambda: process.send(socket.address().port))
