"""Two listen() before the answer give one listening; a third after it throws; bad ports throw (spec 3.3)."""

from prelude import attempt, cluster, process, trace, watch

from nodecluster_compat import net

if cluster.is_primary:
    watch("listening")
    cluster.fork()
    cluster.on("message", lambda *_: cluster.disconnect())
    watch("exit")
else:
    s = net.create_server()

    @s.on("listening")
    def _():
        trace("listening")
        attempt("third", lambda: s.listen(0))
        process.send("x")

    s.listen(0, "127.0.0.1")
    s.listen(0, "127.0.0.1")
    for port in (-1, 65536, 1.5):
        attempt("port", lambda port=port: net.create_server().listen(port, "127.0.0.1"))
