"""A worker with nothing to do lives until it is told to go (spec 0.6)."""

from prelude import cluster, flags, trace, watch

if cluster.is_primary:
    w = cluster.fork()
    cluster.call_later(0.5, lambda: (trace(*flags(w)), w.disconnect()))
    watch("exit")
