"""Node delivers no user message whose cmd begins with NODE_ (spec 4.3); we deliver every one (D12)."""

from prelude import cluster, process, trace

if cluster.is_primary:
    w = cluster.fork()
    w.on("message", lambda m, handle: (trace(m), m == "end" and w.disconnect()))
    for message in ({"cmd": "NODE_"}, {"cmd": "NODE_X"}, "end"):
        w.send(message)
else:
    process.on("message", lambda m, handle: process.send(m))
