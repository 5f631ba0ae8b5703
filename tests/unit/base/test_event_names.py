"""No event name is accepted in silence and never emitted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import nodecluster_compat
from nodecluster_compat import dgram, http, net
from nodecluster_compat.base import emitter as emitters
from nodecluster_compat.base.emitter import Emitter
from nodecluster_compat.base.event_names import KnownEvents
from nodecluster_compat.roles.cluster import Cluster, _InWorker
from nodecluster_compat.roles.pipes import DuplexPipe, ReadablePipe, WritablePipe
from nodecluster_compat.roles.process import Process
from nodecluster_compat.roles.this_worker import ClusterWorker
from nodecluster_compat.roles.worker_handle import WorkerHandle
from nodecluster_compat.roles.worker_process import WorkerProcess

PACKAGE = Path(nodecluster_compat.__file__).parent
EVERY_EMITTER = [
    Cluster,
    Process,
    WorkerHandle,
    WorkerProcess,
    ClusterWorker,
    net.Server,
    http.Server,
    dgram.Socket,
    ReadablePipe,
    WritablePipe,
    DuplexPipe,
]


@pytest.fixture(autouse=True)
def nothing_said() -> Iterator[None]:
    """Each test is the first to complain."""
    emitters._complaints.clear()
    yield
    emitters._complaints.clear()


@pytest.mark.parametrize("kind", EVERY_EMITTER)
def test_every_emitter_knows_its_events(kind: type[Emitter]) -> None:
    """And complains of any other."""
    assert isinstance(kind._known, KnownEvents)
    assert not any(map(kind._known.complaint, kind._known.counts))
    assert kind._known.complaint("no such event") is not None


@pytest.mark.parametrize(
    ("kind", "name", "sentence"),
    [
        (Cluster, "exlt", "did you mean 'exit'?"),
        (Cluster, "reloadFailed", "did you mean 'reload_failed'?"),
        (Cluster, "newListener", "it is spelt 'new_listener' here"),
        (Cluster, "error", "write worker.on('error')"),
        (_InWorker, "message", "process.on('message')"),
        (_InWorker, "fork", "under 'if cluster.is_primary:'"),
        (Process, "sigterm", "did you mean 'SIGTERM'?"),
        (Process, "term", "did you mean 'SIGTERM'?"),
        (Process, "before_exit", "did you mean 'beforeExit'?"),
        (Process, "unhandledRejection", "there are no promises"),
        (WorkerProcess, "internalMessage", "'message' has those of programs"),
        (ClusterWorker, "exit", "process.on('exit')"),
        (net.Server, "connect", "did you mean 'connection'?"),
        (http.Server, "request", "the WSGI application"),
        (dgram.Socket, "connect", "give the address to each send()"),
        (ReadablePipe, "readable", "write 'data'"),
    ],
)
def test_what_may_have_been_meant(kind: type[Emitter], name: str, sentence: str) -> None:
    """The nearest name, or what to write instead of one of Node's."""
    assert kind._known is not None
    assert sentence in (kind._known.complaint(name) or "")


def test_complaint_comes_once_and_says_where(caplog: pytest.LogCaptureFixture) -> None:
    """File and line of the program; the handler is registered all the same, for the program may emit it itself."""
    server = net.create_server()
    for _ in range(2):
        server.on("conection", print)
        net.create_server().once("conection", print)
    [said] = caplog.messages
    assert re.match(rf"{re.escape(__file__)}:\d+: NetServer has no event 'conection': .* 'connection'\?$", said)
    assert server.listener_count("conection") == 2


def test_every_event_that_is_emitted_is_known() -> None:
    """Whoever adds one adds it to a table."""
    emitted = {name for file in PACKAGE.rglob("*.py") for name in re.findall(r'emit\(?\w*, ?"(\w+)"', file.read_text())}
    emitted |= {name for file in PACKAGE.rglob("*.py") for name in re.findall(r'emit\("(\w+)"', file.read_text())}
    known = {name for kind in EVERY_EMITTER if kind._known for name in kind._known.counts}
    assert {"exit", "reloaded", "drop", "beforeExit"} <= emitted
    assert emitted <= known
