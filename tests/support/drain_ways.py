"""How a worker is asked to leave, and how a server is, as the tests of drains of all kinds of workers do it."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable
from typing import Any, Final

import pytest
from remote_control import CONF

from pytest_cluster import Cluster

__all__ = [
    "ANSWER",
    "ENDS",
    "LIMIT",
    "LONG",
    "PARTS",
    "TO_THE_POLICY",
    "WAYS",
    "leave",
    "primary",
    "rest_of",
    "to_worker",
]

ANSWER: Final = b"HTTP/1.1 200 OK"
LIMIT: Final = "graceful_timeout = 8\n"
LONG: Final = CONF.replace(LIMIT, "graceful_timeout = 120\nkeepalive = 300\n")  # nothing ends by time
PARTS: Final = [b"GET / HTTP/1.1\r\nHo", b"st: x\r\n\r\n"]
TO_THE_POLICY: Final = [
    pytest.param({}, id="fed"),
    pytest.param({"env": {"NODE_CLUSTER_SCHED_POLICY": "none"}}, id="accepting"),
]


def primary(source: str) -> Callable[[Cluster], object]:
    """Have the primary run ``source``."""
    return lambda cluster: cluster.request("POST", "/primary", body=source.encode())


def leave(**options: Any) -> Callable[[Cluster], object]:
    """Have a worker leave by its own wish."""
    return lambda cluster: cluster.request("POST", "/leave", body=json.dumps(options).encode())


def to_worker(cluster: Cluster) -> None:
    """TERM to a worker, from outside."""
    os.kill(cluster.worker(1).pid, signal.SIGTERM)


WAYS: Final = [
    pytest.param(primary("cluster.workers[1].disconnect()"), id="worker.disconnect"),
    pytest.param(leave(), id="cluster.worker.disconnect"),
    pytest.param(lambda cluster: cluster.primary.signal("SIGHUP"), id="HUP"),
    pytest.param(to_worker, id="TERM to the worker"),
]
ENDS: Final = [
    pytest.param(primary("cluster.disconnect()"), id="cluster.disconnect"),
    pytest.param(lambda cluster: cluster.primary.signal("SIGTERM"), id="TERM"),
]


def rest_of(client: socket.socket) -> bytes:
    """Everything up to the end of the connection."""
    received = b""
    while data := client.recv(65536):
        received += data
    return received
