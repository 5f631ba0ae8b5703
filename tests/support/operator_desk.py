"""Be the operator of a cluster of a test: ``nodeclusterctl``, in this process."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any, Final

from raw_http import folder_of

from nodecluster_compat.ctl.main import main
from pytest_cluster import Cluster

__all__ = ["DOOR", "Operator"]

DOOR: Final = "from nodecluster_compat import cluster\ncluster.setup_primary(control_socket='ctl')\n"
"""What the configuration needs."""


class Operator:
    """Sits at the control socket of a server.

    Args:
        cluster: whose configuration has :data:`DOOR`.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.path = str(folder_of(cluster) / "ctl")

    def run(self, *words: str) -> tuple[int, str, str]:
        """Return the exit status of a command and what it has printed, for programs and for people."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main([words[0], "--control-socket", self.path, *words[1:]])
        return status, out.getvalue(), err.getvalue()

    def get(self, *words: str) -> Any:
        """Return what a command that succeeds prints as JSON."""
        status, out, err = self.run(*words, "--json")
        assert (status, out) == (0, out), err
        return json.loads(out)
