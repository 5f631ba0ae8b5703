"""What cannot be raises where fork() is called, and the id is gone (spec 5.3)."""

from prelude import attempt, cluster, trace, watch

BAD = [
    {"stdio": ["pipe"]},
    {"stdio": "what"},
    {"serialization": "xml"},
    {"args": "text"},
    {"uid": "root"},
    {"exec": None},
]
if cluster.is_primary:
    for s in BAD:
        cluster.setup_primary(**{"stdio": None, "serialization": None, "args": [], "uid": None, **s})
        attempt(next(iter(s)), cluster.fork)
    cluster.setup_primary(exec=__file__)
    w = cluster.fork()
    trace(w.id, ",".join(str(key) for key in cluster.workers))
    watch("exit")
    cluster.on("online", lambda w: w.disconnect())
