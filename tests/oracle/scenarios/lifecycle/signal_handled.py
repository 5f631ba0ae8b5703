"""A worker that handles a signal decides what becomes of it (spec 2.3)."""

import signal

from prelude import cluster, process, watch

if cluster.is_primary:
    watch("exit")
    cluster.fork()
    cluster.on("message", lambda w, message, handle: w.kill())
else:
    signal.signal(signal.SIGTERM, lambda *_: process.exit(33))
    process.send("ready")
