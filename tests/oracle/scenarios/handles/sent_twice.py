"""The same socket twice: the second message comes without it; order holds around handles (spec 4.5)."""

from prelude import ask, cluster, process, trace

from nodecluster_compat import net

if cluster.is_primary:
    w = cluster.fork()

    def pass_on(sock, peer):
        w.send("before")
        w.send("one", sock)
        w.send("two", sock)
        w.send("after")

    s = net.create_server(pass_on)

    def answered(text):
        trace(text)
        s.close()
        w.disconnect()

    w.on("online", lambda: s.listen(0, "127.0.0.1", callback=lambda: ask(s.address().port, answered)))
else:
    kept = []

    @process.on("message")
    def _(m, sock):
        trace(m, sock is not None)
        if sock is not None:
            kept.append(sock)
        if m == "after":
            kept[0].sendall(b"bye")
            kept[0].close()
