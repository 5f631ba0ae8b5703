"""Paths that cannot be: a folder that is not there, a file that is (spec 3.3)."""

from prelude import cluster, process, trace

from nodecluster_compat import net

if cluster.is_primary:
    cluster.fork()
    seen = []
    cluster.on("message", lambda w, m, handle: (trace(m), seen.append(m), len(seen) == 2 and w.disconnect()))
else:
    for path in ("/tmp/nowhere/at/all.sock", __file__):
        s = net.create_server()
        s.on("error", lambda e: process.send(f"{e.code} {e.syscall}"))
        s.listen(path=path)
