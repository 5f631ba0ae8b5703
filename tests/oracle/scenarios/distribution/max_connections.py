"""A full worker sends a connection on to another (spec 3.2; upstream net-server-drop-connection)."""

import socket

from prelude import cluster, process, trace

from nodecluster_compat import net

if cluster.is_primary:
    served, listening, clients = [], [], []

    @cluster.on("listening")
    def _(w, a):
        listening.append(w)
        if len(listening) == 2:
            clients.extend(socket.create_connection(("127.0.0.1", a.port)) for _ in range(2))

    @cluster.on("message")
    def _(w, m, handle):
        served.append(str(w.id))
        if len(served) == 2:
            trace(" ".join(sorted(served)))
            process.exit(0)

    cluster.fork()
    cluster.fork()
else:
    s = net.create_server(lambda sock, peer: (process.send("one"), sock.recv(1)))
    s.max_connections = 1
    s.listen(0, "127.0.0.1")
