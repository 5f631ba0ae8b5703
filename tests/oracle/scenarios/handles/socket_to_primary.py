"""A worker gives its connection to the primary (spec 4.5; upstream net-send)."""

from prelude import ask, cluster, process, trace

from nodecluster_compat import net

if cluster.is_primary:
    w = cluster.fork()
    cluster.on("listening", lambda _, a: ask(a.port, lambda text: (trace(text), w.disconnect())))

    @w.on("message")
    def _(m, sock):
        trace(m, hasattr(sock, "sendall"))
        sock.sendall(b"from the primary")
        sock.close()
else:
    net.create_server(lambda sock, peer: process.send("take", sock)).listen(0, "127.0.0.1")
