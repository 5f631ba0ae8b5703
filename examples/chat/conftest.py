"""Every test has the chat's own settings, but for the address."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import socketio

SETTINGS = (Path(__file__).parent / "gunicorn.conf.py").read_text().replace('bind = "127.0.0.1:8000"\n', "")


@pytest.fixture(scope="session")
def cluster_options():
    return {"config": SETTINGS, "workers": 4, "worker_class": "nodecluster_compat.Worker"}


class Member:
    """Somebody in the room."""

    def __init__(self, url, name, transport):
        self._changed = threading.Condition()
        self.said, self.workers = [], []
        self.client = socketio.Client(reconnection_delay=0.1, reconnection_delay_max=0.2)
        self.client.on("said", lambda said, offset: self._note(self.said, said["text"]))
        self.client.on("welcome", lambda told, offset: self._note(self.workers, told["worker"]))
        self.client.connect(url, transports=[transport], auth={"name": name}, wait_timeout=20)
        self.wait(lambda: self.workers)

    def says(self, text):
        assert self.client.call("say", text, timeout=20) == "heard"

    def wait(self, condition):
        with self._changed:
            assert self._changed.wait_for(condition, 20), (self.said, self.workers)

    def _note(self, notes, value):
        with self._changed:
            notes.append(value)
            self._changed.notify_all()

    def leaves(self):
        engine = self.client.eio
        self.client.disconnect()
        engine.wait()
        if engine.http is not None:
            engine.http.close()


@pytest.fixture
def enter(cluster):
    members = []

    def enter_chat(name, transport="websocket"):
        members.append(Member(cluster.url, name, transport))
        return members[-1]

    yield enter_chat
    for member in members:
        member.leaves()
