"""settings is empty at first; calls add up; unknown keys stay; each call makes a new mapping (spec 5.1, 5.4)."""

from prelude import cluster, trace


def keys(s):
    return ",".join(sorted(k for k in s if k not in ("exec", "args")))


trace(keys(cluster.settings), len(cluster.settings))
cluster.on("setup", lambda s: trace("setup", keys(s), s.get("x"), s.get("args"), s is cluster.settings))
cluster.setup_primary(x=1, args=["a"])
first = cluster.settings
cluster.setup_primary(y=2, args=["b"])
trace(first is cluster.settings, keys(first))
cluster.setup_primary(x=None)
trace(keys(cluster.settings), cluster.settings["x"])
