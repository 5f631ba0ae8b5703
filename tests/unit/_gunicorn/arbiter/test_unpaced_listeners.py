"""What the arbiter listens on is not paced where all clients are on this host."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from nodecluster_compat._gunicorn.arbiter import cluster_arbiter
from nodecluster_compat._gunicorn.arbiter.cluster_arbiter import ClusterArbiter
from nodecluster_compat.roles.cluster import SCHED_NONE

HOST = ("127.0.0.1", 0)


class Case(NamedTuple):
    """How a listener came to be."""

    is_unpaced: bool
    address: object = HOST
    is_reload: bool = False
    is_known: bool = False
    systemd: bool = False
    master_pid: int = 0


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Case(True), id="made"),
        pytest.param(Case(True, is_reload=True), id="made at a reload"),
        pytest.param(Case(True, is_reload=True, systemd=True), id="made at a reload beside systemd's"),
        pytest.param(Case(False, is_reload=True, is_known=True), id="known"),
        pytest.param(Case(False, is_reload=True, is_known=True, systemd=True), id="systemd's at a reload"),
        pytest.param(Case(False, address=3), id="given"),
        pytest.param(Case(False, systemd=True), id="systemd's"),
        pytest.param(Case(False, master_pid=7), id="an old master's"),
    ],
)
def test_serving_listeners(monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    """Also where workers accept for themselves; not what a hook may have changed, nor what somebody else has made."""
    told: list[object] = []
    monkeypatch.setattr(cluster_arbiter, "cluster", SimpleNamespace(freeze_policy=lambda: SCHED_NONE))
    monkeypatch.setattr(cluster_arbiter, "send_unpaced", told.append)
    with socket.socket() as sock:
        listener: Any = SimpleNamespace(sock=sock, cfg_addr=HOST)
        arbiter: Any = SimpleNamespace(
            LISTENERS=[listener],
            cfg=SimpleNamespace(address=[case.address]),
            systemd=case.systemd,
            master_pid=case.master_pid,
        )
        served: Any = {id(listener): None} if case.is_known else {}
        ClusterArbiter.serve_listeners(arbiter, served if case.is_reload else None)
        assert told == ([sock] if case.is_unpaced else [])
