"""Idle workers take turns, in the order in which they listened (spec 3.2)."""

from prelude import ask, cluster, trace

from nodecluster_compat import net

if cluster.is_primary:
    served, ports = [], []

    @cluster.on("listening")
    def _(w, a):
        ports.append(a.port)
        if w.id < 3:
            cluster.fork()
        else:
            following()

    def following(answer=None):
        if answer is not None:
            served.append(answer)
        if len(served) < 9:
            ask(ports[0], following)
        else:
            trace(" ".join(served))
            cluster.disconnect()

    cluster.fork()
else:
    net.create_server(lambda sock, peer: sock.sendall(str(cluster.worker.id).encode())).listen(0, "127.0.0.1")
