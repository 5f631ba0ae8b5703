"""What the listening event says, for every way to listen (spec 2.2)."""

import os

from prelude import cluster, watch

from nodecluster_compat import net

WAYS = ["127.0.0.1", None, "::1", "0.0.0.0"]
if cluster.is_primary:
    watch("listening")
    cluster.on("listening", lambda w, a: w.disconnect())
    for way in range(len(WAYS)):
        cluster.fork({"WAY": str(way)})
else:
    net.create_server().listen(0, WAYS[int(os.environ["WAY"])])
