"""disconnect() on a dead worker is safe, and flips its flag (spec 1.3)."""

from prelude import cluster, flags, process, trace

if cluster.is_primary:
    w = cluster.fork()

    @w.on("exit")
    def _(code, signal):
        trace(*flags(w))
        w.disconnect()
        trace(*flags(w))
        w.kill()
        trace(True)
else:
    process.exit(3)
