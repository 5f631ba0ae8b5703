"""keepOpen: both sides can write (spec 4.5)."""

import gevent.event
from prelude import ask, cluster, process, trace

from nodecluster_compat import net

if cluster.is_primary:
    w = cluster.fork()
    written = gevent.event.Event()

    def share(sock, peer):
        w.send("shared", sock, keep_open=True)
        written.wait()
        sock.sendall(b" and primary")
        sock.shutdown(2)

    s = net.create_server(share)
    w.on("message", lambda m, handle: written.set())

    def answered(text):
        trace(text)
        s.close()
        w.kill("SIGKILL")

    w.on("online", lambda: s.listen(0, "127.0.0.1", callback=lambda: ask(s.address().port, answered)))
else:
    process.on("message", lambda m, sock: (sock.sendall(b"worker"), process.send("written")))
