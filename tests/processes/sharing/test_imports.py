"""What every process of a cluster imports, and what only one that needs it does."""

from __future__ import annotations

import subprocess
import sys

IMPORTED = """
import sys
import nodecluster_compat._gunicorn.worker.threads.worker as worker
from nodecluster_compat.base.native import in_force
worker.import_all()
print(*sys.modules, "native" if in_force().module else "python")
"""
FOR_HOSTS = (
    "bridge",
    "carrier",
    "consumer",
    "remote_leader",
    "remote_locks",
    "remote_posts",
    "keeper",
    "redis_engine",
    "server",
)


def test_what_speaks_to_a_server_is_imported_where_one_is_named() -> None:
    """Nor is ctypes, where the C extension does what it was for."""
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True, timeout=50)
    names = set(done.stdout.split())
    assert "nodecluster_compat.sharing.remote" in names
    assert not names & {f"nodecluster_compat.sharing.{name}" for name in FOR_HOSTS}
    assert "python" in names or "ctypes" not in names
