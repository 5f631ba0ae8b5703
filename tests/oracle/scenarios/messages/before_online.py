"""What is sent right after fork() is there for a listener that the script adds at once (spec 4.1)."""

from prelude import cluster, process, trace

if cluster.is_primary:
    w = cluster.fork()
    trace("returns", w.send("early"))
    w.on("message", lambda m, handle: (trace(m), w.disconnect()))
else:
    process.on("message", lambda m, handle: process.send(m + " back"))
