"""An environment that is too large for any program is refused before one starts."""

from __future__ import annotations

import os

import pytest

from pytest_cluster.errors import StartError
from pytest_cluster.options.cluster_options import ClusterOptions
from pytest_cluster.server.guard import guard
from pytest_cluster.server.server_process import ServerProcess


def test_environment_that_is_too_large() -> None:
    """What the system refuses is a sentence, and nothing is left."""
    guard.acquire()
    try:
        options = ClusterOptions(app="shop:app", env={"A": "x" * 3_000_000}, fork_server=False)
        server = ServerProcess(options, pythonpath=".")
        with pytest.raises(StartError, match=r"^the server cannot be started: \[Errno 7\] Argument list too long"):
            server.start()
        assert not os.path.exists(server.folder)
    finally:
        guard.drop()
