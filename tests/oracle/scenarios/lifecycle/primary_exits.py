"""A primary that exits takes its workers along: they end with 0 (spec 2.7)."""

from prelude import cluster, process, trace

if cluster.is_primary:
    cluster.fork()
    cluster.on("message", lambda *_: process.exit(4))
else:
    process.on("exit", lambda code: trace("exit", code))
    process.send("ready")
