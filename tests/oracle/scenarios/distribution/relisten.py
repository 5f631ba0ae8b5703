"""A worker that closes its server and listens again shares the port again (spec 3.2)."""

from prelude import cluster, process, watch

from nodecluster_compat import net

if cluster.is_primary:
    watch("listening")
    seen = []

    @cluster.on("listening")
    def _(w, a):
        seen.append(w)
        if len(seen) == 1:
            cluster.fork()
        elif len(seen) == 2:
            w.send("again")
        else:
            cluster.disconnect()

    cluster.fork()
else:
    s = net.create_server()
    s.listen(0, "127.0.0.1")
    process.on("message", lambda *_: s.close(lambda: s.listen(0, "127.0.0.1")))
