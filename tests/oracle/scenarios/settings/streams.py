"""silent and stdio: what a worker writes is read in the primary, what the primary writes is read there (spec 5.2)."""

import os
import sys

from prelude import cluster, process, trace

if cluster.is_primary:
    trace(cluster.fork({"QUIET": "1"}).process.stdout)
    cluster.setup_primary(silent=True)
    w = cluster.fork()
    out, err = [], []
    w.process.stdout.on("data", out.append)
    w.process.stderr.on("data", err.append)
    w.process.stdin.write("hello\n")
    w.process.stdin.end()

    def told(code):
        trace(code, b"".join(out).decode().strip(), b"".join(err).decode().strip())

    w.on("exit", lambda code, signal: cluster.call_later(0.05, lambda: told(code)))
elif "QUIET" in os.environ:
    process.exit(0)
else:
    sys.stdout.write(f"out {sys.stdin.readline()}")
    sys.stderr.write("err\n")
    process.exit(0)
