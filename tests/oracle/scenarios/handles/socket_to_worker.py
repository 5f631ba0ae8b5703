"""The primary accepts and gives the connection away: it is the worker's alone (spec 4.5)."""

import socket

from prelude import ask, cluster, process, trace

from nodecluster_compat import net

if cluster.is_primary:
    w = cluster.fork()
    s = net.create_server(lambda sock, peer: trace("returns", w.send("yours", sock)))

    def answered(text):
        trace(text)
        s.close()
        w.disconnect()

    w.on("online", lambda: s.listen(0, "127.0.0.1", callback=lambda: ask(s.address().port, answered)))
else:

    @process.on("message")
    def _(m, sock):
        trace(m, isinstance(sock, socket.socket))
        sock.sendall(b"from the worker")
        sock.close()
