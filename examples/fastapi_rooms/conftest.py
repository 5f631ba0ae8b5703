"""Every test has the chat's own settings, but for the address."""

from __future__ import annotations

from pathlib import Path

import pytest
from websockets.sync.client import connect

SETTINGS = (Path(__file__).parent / "gunicorn.conf.py").read_text().replace('bind = "127.0.0.1:8000"\n', "")


@pytest.fixture(scope="session")
def cluster_options():
    return {"config": SETTINGS, "workers": 3, "worker_class": "nodecluster_compat.ASGIWorker"}


class Member:
    """Somebody in a room."""

    def __init__(self, cluster, room):
        self.socket = connect(f"ws://{cluster.host}:{cluster.port}/rooms/{room}")
        self.worker = self.hears()

    def says(self, text):
        self.socket.send(text)

    def hears(self):
        return self.socket.recv(timeout=20)


@pytest.fixture
def enter(cluster):
    members = []

    def enter_room(room):
        members.append(Member(cluster, room))
        return members[-1]

    yield enter_room
    for member in members:
        member.socket.close()
