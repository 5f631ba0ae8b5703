"""An uncaught exception of the primary's script: exit code 1 (spec 2.7)."""

from prelude import cluster, process, trace

if cluster.is_primary:
    cluster.fork()
    process.on("exit", lambda code: trace("exit", code))
    raise RuntimeError("accident")
