"""A primary without workers, servers and timers ends by itself, with its exitCode (spec 2.15)."""

from prelude import cluster, process, trace

process.exit_code = 6
cluster.call_later(0.05, lambda: trace("timer"))
trace(cluster.is_primary, cluster.is_master, cluster.is_worker)
