"""D8: an exclusive server outlives its worker's disconnect in Node; here it is closed with the others (spec 3.4)."""

from prelude import ask, cluster, process, trace

from nodecluster_compat import net

if cluster.is_primary:
    w = cluster.fork()
    ports = []
    w.on("message", lambda m, handle: (ports.append(m), w.disconnect()))
    w.on("disconnect", lambda: cluster.call_later(0.2, lambda: ask(ports[0], trace)))
else:
    s = net.create_server(lambda sock, peer: sock.sendall(b"served"))
    s.listen(0, "127.0.0.1", exclusive=True, callback=lambda: process.send(s.address().port))
