"""D1: Node leaks the connection of a worker that died before taking it; disconnect never comes (spec 2.11)."""

from prelude import ask, cluster, process, trace, watch

from nodecluster_compat import net

if cluster.is_primary:
    watch("disconnect", "exit")
    listening, served = [], []

    @cluster.on("listening")
    def _(w, a):
        listening.append(w)
        if len(listening) < 2:
            cluster.fork()
            return
        cluster.workers[1].process.kill("SIGSTOP")
        cluster.call_later(0.05, lambda: [ask(a.port, served.append) for _ in range(4)])
        cluster.call_later(0.25, lambda: cluster.workers[1].process.kill("SIGKILL"))
        cluster.call_later(0.65, lambda: (trace("served", len(served)), process.exit(0)))

    cluster.fork()
else:
    net.create_server(lambda sock, peer: sock.sendall(b"x")).listen(0, "127.0.0.1")
