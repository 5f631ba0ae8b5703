"""Who hears a message, and in which order, on both sides (spec 4.2)."""

from prelude import cluster, process, trace

if cluster.is_primary:
    w = cluster.fork()
    w.process.on("message", lambda m, h: trace("process", m, h))
    w.on("message", lambda m, h: trace("worker", m, h))
    cluster.on("message", lambda x, m, h: trace("cluster", x is w, m, h))
    w.on("message", lambda m, h: m == "answer" and w.disconnect())
    trace("returns", w.send({"hello": [1, "two", None, True]}))
else:
    process.on("message", lambda m, h: (trace("process", m, h), trace("returns", process.send("answer"))))
    cluster.worker.on("message", lambda m, h: trace("worker", m, h))
