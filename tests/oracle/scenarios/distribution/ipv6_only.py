"""ipv6Only with a host; without one Node 20 ignores it (spec 3.4, 7)."""

from prelude import ask, cluster, process, trace, watch

from nodecluster_compat import net

if cluster.is_primary:
    watch("listening")
    w = cluster.fork()
    seen = []

    @w.on("listening")
    def _(a):
        def answered(text):
            trace(a.address, text)
            seen.append(text)
            if len(seen) == 2:
                w.disconnect()
            else:
                w.send("next")

        ask(a.port, answered)
else:

    def serve(host):
        net.create_server(lambda sock, peer: sock.sendall(b"four")).listen(0, host, ipv6_only=True)

    process.on("message", lambda *_: serve(None))
    serve("::")
