"""What JSON makes of values, there and back (spec 4.4)."""

import json

from prelude import cluster, process, trace

inf = float("inf")
VALUES = [None, True, 0, 1.5, -3, "text", "", "ünï", [], [1, [2]], {}, {"a": {"b": None}}, float("nan"), [inf]]
if cluster.is_primary:
    w = cluster.fork()
    seen = []

    @w.on("message")
    def _(m, handle):
        trace(json.dumps(m, separators=(",", ":"), ensure_ascii=False))
        seen.append(m)
        if len(seen) == len(VALUES):
            w.disconnect()

    for value in VALUES:
        w.send(value)
else:
    process.on("message", lambda m, handle: process.send(m))
