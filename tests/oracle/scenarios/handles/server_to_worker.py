"""A listening server that is passed listens on both sides (spec 4.5)."""

from prelude import ask, cluster, process, trace

from nodecluster_compat import net

if cluster.is_primary:
    w = cluster.fork()
    s = net.create_server()

    def listening():
        port = s.address().port
        w.send("server", s)
        w.on("message", lambda m, handle: (s.close(), ask(port, lambda text: (trace(text), w.kill("SIGKILL")))))

    s.listen(0, "127.0.0.1", callback=listening)
else:

    @process.on("message")
    def _(m, s):
        trace(m, isinstance(s, net.Server), s.address().port > 0)
        s.on("connection", lambda sock: sock.sendall(b"worker"))
        process.send("ready")
