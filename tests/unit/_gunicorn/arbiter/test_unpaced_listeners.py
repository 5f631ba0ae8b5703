"""What the arbiter listens on is not paced where all clients are on this host."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest

from nodecluster_compat._gunicorn.arbiter import cluster_arbiter
from nodecluster_compat._gunicorn.arbiter.cluster_arbiter import ClusterArbiter
from nodecluster_compat.machine.unpaced import control_of
from nodecluster_compat.roles.cluster import SCHED_NONE


def test_serving_listeners(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where workers accept for themselves."""
    monkeypatch.setattr(cluster_arbiter, "cluster", SimpleNamespace(freeze_policy=lambda: SCHED_NONE))
    with socket.create_server(("127.0.0.1", 0)) as sock:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"bbr")
        except OSError:
            pytest.skip("this process may not choose BBR")
        arbiter: Any = SimpleNamespace(LISTENERS=[SimpleNamespace(sock=sock)])
        ClusterArbiter.serve_listeners(arbiter)
        assert control_of(sock) == b"reno"
