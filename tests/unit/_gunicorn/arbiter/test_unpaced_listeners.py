"""What the arbiter listens on is not paced where all clients are on this host."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest

from nodecluster_compat._gunicorn.arbiter import cluster_arbiter
from nodecluster_compat._gunicorn.arbiter.cluster_arbiter import ClusterArbiter
from nodecluster_compat.roles.cluster import SCHED_NONE


@pytest.mark.parametrize(
    ("address", "is_known", "is_unpaced"),
    [(("127.0.0.1", 0), False, True), (("127.0.0.1", 0), True, False), (3, False, False)],
    ids=["new", "known", "given"],
)
def test_serving_listeners(monkeypatch: pytest.MonkeyPatch, address: object, is_known: bool, is_unpaced: bool) -> None:
    """Also where workers accept for themselves; not what a hook may have changed, nor what somebody has passed."""
    told: list[object] = []
    monkeypatch.setattr(cluster_arbiter, "cluster", SimpleNamespace(freeze_policy=lambda: SCHED_NONE))
    monkeypatch.setattr(cluster_arbiter, "send_unpaced", told.append)
    with socket.socket() as sock:
        listener: Any = SimpleNamespace(sock=sock, cfg_addr=("127.0.0.1", 0))
        arbiter: Any = SimpleNamespace(LISTENERS=[listener], cfg=SimpleNamespace(address=[address]))
        ClusterArbiter.serve_listeners(arbiter, {id(listener): Any} if is_known else None)  # type: ignore[dict-item]
        assert told == ([sock] if is_unpaced else [])
