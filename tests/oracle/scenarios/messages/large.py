"""A message of several megabytes arrives whole, both ways (spec 4.1)."""

from prelude import cluster, process, trace

if cluster.is_primary:
    w = cluster.fork()
    w.send("x" * 5000000)
    w.on("message", lambda m, handle: (trace(len(m)), w.disconnect()))
else:
    process.on("message", lambda m, handle: process.send(m + "y"))
