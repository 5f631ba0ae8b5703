"""dropMaxConnection: a full worker takes, closes and emits drop; Node 20 does not know it (spec 3.2, 7)."""

import socket

from prelude import cluster, process, trace

from nodecluster_compat import net

if cluster.is_primary:
    w = cluster.fork()
    clients = []
    w.on("message", lambda m, handle: trace(m))

    @w.on("listening")
    def _(a):
        clients.extend(socket.create_connection(("127.0.0.1", a.port)) for _ in range(2))
        cluster.call_later(0.4, lambda: process.exit(0))
else:
    s = net.create_server(lambda sock, peer: (process.send("connection"), sock.recv(1)))
    s.max_connections, s.drop_max_connection = 1, True
    s.on("drop", lambda peer: process.send("drop"))
    s.listen(0, "127.0.0.1")
