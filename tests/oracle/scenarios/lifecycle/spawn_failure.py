"""A worker that cannot be started: error, fork, disconnect, and no exit (spec 2.10)."""

import errno

from prelude import cluster, flags, trace_as, watch

if cluster.is_primary:
    watch()
    cluster.setup_primary(cwd="/nowhere/at/all")
    w = cluster.fork()
    trace_as("P1", "forked", *flags(w), w.process.pid)
    w.on("error", lambda e: trace_as("P1", "error", errno.errorcode[e.errno], *flags(w), w.process.exit_code < 0))
    w.on("disconnect", lambda: trace_as("P1", "disconnect", *flags(w)))
