"""A stopped receiver: send() says false, nothing is lost, order is kept (spec 4.1)."""

from prelude import cluster, process, trace

COUNT = 200
if cluster.is_primary:
    w = cluster.fork()
    got, called, full = [], [], []

    @w.once("message")
    def _(m, handle):
        w.process.kill("SIGSTOP")
        for i in range(COUNT):
            if not w.send({"i": i, "pad": "x" * 16384}, callback=called.append):
                full.append(i)
        w.on("message", count)
        w.process.kill("SIGCONT")

    def count(m, handle):
        if m == "ready":
            return
        got.append(m)
        if len(got) == COUNT:
            trace("full", bool(full), "all", len(got), "sorted", got == sorted(got), "called", len(called) == COUNT)
            w.disconnect()
else:
    process.on("message", lambda m, handle: process.send(m["i"]))
    process.send("ready")
