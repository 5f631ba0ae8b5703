"""What is sent right before the exit arrives, up to what the channel holds (spec 4.1)."""

from prelude import cluster, process, trace, watch

if cluster.is_primary:
    cluster.fork()
    cluster.on("message", lambda w, m, handle: trace(len(m)))
    watch("exit")
else:
    process.send("x" * 100)
    process.send("x" * 100000)
    process.exit(2)
