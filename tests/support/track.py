"""What the clusters of the matrix, of the chaos and of the soak are started with."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pytest_cluster import ClusterOptions

__all__ = ["APPS", "OPTIONS", "PATIENT"]

APPS: Final = str(Path(__file__).parents[1] / "apps")

# Limits that are short for a test and long for a loaded machine; no pauses between attempts.
CONFIG: Final = """
from nodecluster_compat import cluster
cluster.setup_primary(boot_timeout=5, restart_stable=0, restart_intensity=1000)
"""
OPTIONS: Final = ClusterOptions(
    workers=3,
    app="pid_echo:app",
    config=CONFIG,
    settings={"pythonpath": APPS, "timeout": 5, "graceful_timeout": 4},
    cwd=None,
)

PATIENT: Final = OPTIONS.changed(
    "patient", {"config": CONFIG.replace("boot_timeout=5", "boot_timeout=60"), "settings": {"timeout": 60}}
)
"""Where no limit has to end anything: a machine may be as slow as it likes."""
