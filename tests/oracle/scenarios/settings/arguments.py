"""exec, args, cwd and env reach the worker; marker variables do not (spec 1.6, 5.2)."""

import os
import sys

from prelude import cluster, process, trace, watch

if cluster.is_primary:
    cluster.setup_primary(args=["one", "2"], cwd="/", exec=os.path.abspath(__file__))
    trace(cluster.fork({"OWN": "mine", "N": "5"}).send("x"))
    watch("exit")
else:
    marks = ["NODE_UNIQUE_ID" in os.environ, "NODE_CHANNEL_FD" in os.environ]
    trace(",".join(sys.argv[1:]), os.getcwd(), os.environ["OWN"], os.environ["N"], *marks)
    process.disconnect()
