"""close() before the primary has answered: no listening, and the callback hears an error (spec 3.4)."""

from prelude import cluster, process, trace, watch

from nodecluster_compat import net

if cluster.is_primary:
    watch("listening")
    cluster.fork()
    cluster.on("message", lambda w, m, handle: (trace(m), cluster.call_later(0.1, w.disconnect)))
    watch("exit")
else:
    server = net.create_server().listen(0, "127.0.0.1", callback=lambda: trace("never"))
    server.close(lambda *error: process.send(bool(error)))
