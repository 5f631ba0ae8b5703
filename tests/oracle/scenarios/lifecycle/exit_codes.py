"""What a worker passes to process.exit arrives, modulo 256 (spec 2.3)."""

import os

from prelude import cluster, process, watch

if cluster.is_primary:
    watch("exit")
    for code in (0, 7, 255, 256):
        cluster.fork({"CODE": str(code)})
else:
    process.exit(int(os.environ["CODE"]))
