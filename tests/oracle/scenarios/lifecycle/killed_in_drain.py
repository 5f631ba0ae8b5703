"""A worker that is killed while it leaves by its own wish did not leave voluntarily (spec 2.6)."""

import socket

from prelude import cluster, process, watch, watch_worker

from nodecluster_compat import net

if cluster.is_primary:
    watch("disconnect", "exit")
    w = watch_worker(cluster.fork())
    clients = []
    w.on("listening", lambda a: clients.append(socket.create_connection(("127.0.0.1", a.port))))
    w.on("message", lambda *_: cluster.call_later(0.1, lambda: w.kill("SIGKILL")))
else:

    def leave(sock, peer):
        cluster.worker.disconnect()
        process.send("leaving")
        sock.recv(1)

    net.create_server(leave).listen(0, "127.0.0.1")
