"""A further entry of stdio is a pipe of its own (spec 5.2; upstream fork-stdio)."""

import os

from prelude import cluster, process, trace, watch

if cluster.is_primary:
    cluster.setup_primary(stdio=["inherit", "inherit", "inherit", "ipc", "pipe"])
    w = cluster.fork()
    w.process.stdio[4].on("data", lambda d: trace(d.decode().strip()))
    watch("exit")
else:
    os.write(4, b"over there\n")
    process.exit(0)
