"""What an import of the package does not load."""

from __future__ import annotations

import subprocess
import sys


def test_import_loads_neither_gevent_nor_gunicorn() -> None:
    """Importing the package, cluster and process patches nothing and costs little."""
    source = (
        "import sys, nodecluster_compat\n"
        "from nodecluster_compat import cluster, process\n"
        "assert not {'gevent', 'gunicorn'} & set(sys.modules), 'too much was imported'"
    )
    subprocess.run([sys.executable, "-c", source], check=True)
