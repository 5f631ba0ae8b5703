"""A server that closes itself in its first handler has no second one, in a worker and in a primary."""

import socket

from prelude import cluster, process, trace, watch

from nodecluster_compat import http, net

clients = []


def close(server, done):
    count = 0

    def connected(sock):
        nonlocal count
        count += 1
        if count == 1:
            server.close(lambda: cluster.set_timeout(lambda: (trace("connections", count), done()), 200))

    server.on("connection", connected)
    return server


def knock(port):
    for _ in range(8):
        clients.append(socket.socket())
        clients[-1].setblocking(False)
        clients[-1].connect_ex(("127.0.0.1", port))


if cluster.is_primary:
    watch("exit")
    own = close(net.create_server(), lambda: cluster.fork())
    own.listen(0, "127.0.0.1", callback=lambda: knock(own.address().port))
    cluster.on("listening", lambda w, address: knock(address.port))
else:
    close(http.create_server(lambda environ, start: [b""]), lambda: process.exit(0)).listen(0, "127.0.0.1")
