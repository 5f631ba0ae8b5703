"""maxConnections = 0 refuses everybody since Node 22; before it meant no limit (spec 3.2, 7)."""

import socket

from prelude import cluster, process, trace

from nodecluster_compat import net

if cluster.is_primary:
    w = cluster.fork()
    clients = []

    def look():
        clients[0].setblocking(False)
        try:
            trace(clients[0].recv(100).decode())
        except BlockingIOError:
            trace("nothing")
        process.exit(0)

    @w.on("listening")
    def _(a):
        clients.append(socket.create_connection(("127.0.0.1", a.port)))
        cluster.call_later(0.3, look)
else:
    s = net.create_server(lambda sock, peer: sock.sendall(b"served"))
    s.max_connections = 0
    s.listen(0, "127.0.0.1")
