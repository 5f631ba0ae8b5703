"""A blocked worker holds one connection in Node (spec 3.2), and nobody here: it goes to one that is idle (D15)."""

from prelude import ask, cluster, trace

from nodecluster_compat import net

if cluster.is_primary:
    by, listening = {"1": 0, "2": 0}, []

    @cluster.on("listening")
    def _(w, a):
        listening.append(w)
        if len(listening) < 2:
            cluster.fork()
        else:
            cluster.workers[1].process.kill("SIGSTOP")
            cluster.call_later(0.05, lambda: [ask(a.port, served) for _ in range(8)])

    def served(answer):
        by[answer] += 1
        if sum(by.values()) == 7:
            trace(by["1"], by["2"])
            cluster.call_later(0.5, lambda: cluster.workers[1].process.kill("SIGCONT"))
        if sum(by.values()) == 8:
            trace(by["1"], by["2"])
            cluster.disconnect()

    cluster.fork()
else:
    net.create_server(lambda sock, peer: sock.sendall(str(cluster.worker.id).encode())).listen(0, "127.0.0.1")
