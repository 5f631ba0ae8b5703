"""The callback hears when a message is written, and why it is not (spec 4.1)."""

from prelude import cluster, process, trace

if cluster.is_primary:
    w = cluster.fork()
    sync = [True]
    trace("returns", w.send("x", callback=lambda e: trace("written", e, "later", not sync)))
    sync.clear()
    w.on("message", lambda m, handle: w.disconnect())
    w.on("error", lambda e: trace("error event", bool(str(e))))

    @w.on("exit")
    def _(code, signal):
        trace("returns", w.send("y", callback=lambda e: trace("failed", e is not None)))
        trace("returns", w.send("z"))
else:
    process.on("message", lambda m, handle: process.send(m))
