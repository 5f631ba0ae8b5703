"""A script that does not exist: online, disconnect, exit(1) (spec 2.10)."""

import os

from prelude import cluster, watch

if cluster.is_primary:
    watch()
    cluster.setup_primary(exec=os.path.dirname(__file__) + "/nowhere.py")
    cluster.fork()
