"""uid and gid take effect where root asks; anybody else hears an exception (spec 5.2, 5.3)."""

import os

from prelude import attempt, cluster, process, trace

if cluster.is_primary:
    if os.getuid() == 0:
        cluster.setup_primary(uid=0, gid=65534)
        cluster.on("message", lambda w, m, handle: (trace(m), w.process.kill("SIGKILL")))
        cluster.fork()
    else:
        cluster.setup_primary(uid=0)
        attempt("root", cluster.fork)
else:
    process.send(f"{os.getuid()} {os.getgid()}")
