"""Every event in Node's order, with Node's arguments and flags, for each way in which a worker can end."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import pytest
from kinds import ASGI, GEVENT, THREADS, every_kind
from remote_control import CONF, REMOTE, ask, here, said, tell, wait_ended, wait_said

from pytest_cluster import Cluster, ClusterFactory, StartError

FLAGS = ("state", "ead", "dead", "connected", "known")

# A worker that is a zombie before the primary has read the end of its channel.
SLAY = """
def slay(pid=cluster.workers[1].process.pid):
    os.kill(pid, 9)
    while open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[0] != 'Z':
        pass
cluster.call_later(0, slay)
"""

# How worker 1 of two ends: who is told what, then code, signal and exited_after_disconnect.
ENDS = [
    pytest.param("kill KILL", "", None, "SIGKILL", False, id="killed from outside"),
    pytest.param("primary", SLAY, None, "SIGKILL", False, id="killed and reaped at once"),
    pytest.param("kill TERM", "", 0, None, False, id="terminated from outside"),
    pytest.param("worker/1", "import sys; sys.exit(8)", 8, None, False, id="sys.exit in a message handler"),
    pytest.param("worker/1", "process.exit(7)", 7, None, False, id="process.exit in a message handler"),
    pytest.param("here", "process.exit(6)", 6, None, False, id="process.exit in a request"),
    pytest.param("worker/1", "os.abort()", None, "SIGABRT", False, id="abort"),
    pytest.param("worker/1", "process.disconnect()", 0, None, False, id="process.disconnect"),
    pytest.param("worker/1", "cluster.worker.disconnect()", 0, None, True, id="cluster.worker.disconnect"),
    pytest.param("worker/1", "cluster.worker.kill()", 0, None, True, id="cluster.worker.kill"),
    pytest.param("primary", "cluster.workers[1].disconnect()", 0, None, True, id="worker.disconnect"),
    pytest.param("primary", "cluster.workers[1].kill()", 0, None, False, id="worker.kill"),
    pytest.param("primary", "cluster.workers[1].kill('sigusr2')", None, "SIGUSR2", False, id="worker.kill by name"),
    pytest.param("primary", "cluster.workers[1].process.disconnect()", 0, None, False, id="worker.process.disconnect"),
]

# Those that the worker class itself brings about, with each kind where slow tests run; what the primary tells alone is
# the same for each, and long for the others than gevent's.
OF_THE_WORKER = {"terminated from outside", "sys.exit in a message handler", "process.exit in a request"}
OF_THE_WORKER |= {"cluster.worker.disconnect", "worker.kill"}
KINDS_AND_ENDS = [
    pytest.param(kind, *end.values, marks=pytest.mark.cluster(**options), id=f"{end.id}-{kind}")
    for kind, options in (("gevent", GEVENT), ("threads", THREADS), ("asgi", ASGI))
    for end in ENDS
]
QUICK_ENDS = [f"{end.id}-{kind}" for end, kind in zip(ENDS, cycle(["gevent", "threads", "asgi"]), strict=False)]
LONG_ENDS = [f"{end.id}-{kind}" for end in ENDS if end.id not in OF_THE_WORKER for kind in ("threads", "asgi")]

# How a worker ends while it still imports the application.
ENDS_AT_IMPORT = [
    pytest.param("import sys; sys.exit(9)", 9, False, id="sys.exit"),
    pytest.param("process.exit(7)", 7, False, id="process.exit"),
    pytest.param("process.disconnect(); import time; time.sleep(300)", 0, False, id="process.disconnect"),
    pytest.param("cluster.worker.disconnect()", 0, True, id="cluster.worker.disconnect"),
    pytest.param("cluster.worker.kill()", 0, True, id="cluster.worker.kill"),
]


def story(cluster: Cluster, worker: int) -> list[tuple[str, str, list[Any], tuple[Any, ...]]]:
    """What the handlers in the primary saw of one worker: on which object, event, arguments, flags."""
    return [
        (one["saw"], one["event"], one["args"], tuple(one[flag] for flag in FLAGS))
        for one in said(cluster, worker=worker)
        if "saw" in one
    ]


def both(event: str, args: list[Any], flags: tuple[Any, ...]) -> list[tuple[str, str, list[Any], tuple[Any, ...]]]:
    """An event that the worker's handlers see first and the cluster's second."""
    return [("worker", event, args, flags), ("cluster", event, args, flags)]


def the_end(code: int | None, signal: str | None, asked: bool) -> list[tuple[str, str, list[Any], tuple[Any, ...]]]:
    """``disconnect`` then ``exit``, as Node and difference D9 (``docs/differences.md``) have them."""
    return [
        *both("disconnect", [], ("disconnected", asked, False, False, True)),
        *both("exit", [code, signal], ("dead", asked, True, False, False)),
    ]


@pytest.mark.cluster(**REMOTE, workers=1, settings={"bind": ["127.0.0.1:0", "127.0.0.1:0"]})
def test_boot(cluster: Cluster) -> None:
    """``setup``, ``fork``, ``online``, one ``listening`` for each socket; the worker's handlers first."""
    wait_said(cluster, 2, saw="cluster", event="listening")
    seen = story(cluster, 1)
    first, second = (one.port for one in cluster.addresses)

    def address(port: int) -> str:
        return f"Address(address='127.0.0.1', port={port}, address_type=4, fd=None)"

    assert seen == [
        ("cluster", "fork", [], ("none", None, False, True, True)),
        *both("online", [], ("online", None, False, True, True)),
        *both("listening", [address(first)], ("listening", None, False, True, True)),
        *both("listening", [address(second)], ("listening", None, False, True, True)),
    ]
    events = [one["event"] for one in said(cluster, saw="cluster")]
    assert events == ["setup", "fork", "online", "listening", "listening"]


@pytest.mark.table(quick=QUICK_ENDS, long=LONG_ENDS)
@pytest.mark.parametrize(("kind", "where", "source", "code", "signal", "asked"), KINDS_AND_ENDS, indirect=["kind"])
@pytest.mark.cluster(**REMOTE)
@pytest.mark.usefixtures("kind")
def test_end(cluster: Cluster, where: str, source: str, code: int | None, signal: str | None, asked: bool) -> None:
    """``disconnect`` then ``exit``, both always, and a successor listens."""
    if where.startswith("kill"):
        cluster.worker(1).kill(where.split()[1])
    elif where == "here":
        with cluster.connect() as client:
            client.sendall(b"POST /here HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(source))
            client.sendall(source.encode())
            assert client.recv(1) == b""
    else:
        tell(cluster, where, source)
    wait_ended(cluster)
    cluster.wait_listening()

    ended = said(cluster, saw="cluster", event="exit")[0]["worker"]
    assert story(cluster, ended)[-4:] == the_end(code, signal, asked)
    assert said(cluster, saw="cluster", event="exit")[1:] == []


@pytest.mark.table(quick=["process.exit", "cluster.worker.disconnect"])
@pytest.mark.cluster(**REMOTE, workers=1)
@pytest.mark.parametrize(("source", "code", "asked"), ENDS_AT_IMPORT)
def test_end_at_import(cluster: Cluster, source: str, code: int, asked: bool) -> None:
    """``online`` before any application code; then the end, as for a worker that serves."""
    ask(cluster, "primary", f"cluster.fork({{'AT_IMPORT': {source!r}}})")
    wait_ended(cluster, worker=2)
    cluster.wait_listening(2)

    seen = story(cluster, 2)
    assert seen[1:3] == both("online", [], ("online", None, False, True, True))
    assert seen[-4:] == the_end(code, None, asked)


@pytest.mark.table(quick=["gevent"])
@every_kind
@pytest.mark.cluster(**REMOTE, workers=1, settings={"max_requests": 3})
def test_max_requests(cluster: Cluster) -> None:
    """A worker that has had its share leaves by its own wish."""
    for _ in range(3):
        here(cluster, "")
    wait_ended(cluster, worker=1)

    assert story(cluster, 1)[-4:] == the_end(0, None, True)


@pytest.mark.table(quick=["HUP-ended0", "TERM-ended2"])
@pytest.mark.cluster(**REMOTE)
@pytest.mark.parametrize(("signal", "ended"), [("HUP", [1, 2]), ("TTOU", [1]), ("TERM", [1, 2]), ("QUIT", [1, 2])])
def test_signal_to_the_primary(cluster: Cluster, signal: str, ended: list[int]) -> None:
    """Reload, fewer workers and the end of the server are ends that the primary asked for."""
    cluster.primary.signal(signal)
    wait_ended(cluster, len(ended))

    for worker in ended:
        # On HUP what the configuration file had registered is forgotten, also on the handles of old workers.
        seen = [one for one in the_end(0, None, True) if signal != "HUP" or one[0] == "cluster"]
        assert story(cluster, worker)[-len(seen) :] == seen


@pytest.mark.cluster(app="missing_module:app", workers=1, config=CONF)
def test_crash_at_import_at_first_boot(cluster_factory: ClusterFactory) -> None:
    """The server stops with gunicorn's exit code and the traceback; ``online`` came before any application code."""
    with pytest.raises(StartError, match="ended with exit code 3") as caught:
        cluster_factory()

    log = str(caught.value)
    assert "ModuleNotFoundError: No module named 'missing_module'" in log
    assert '"saw": "cluster", "event": "online"' in log
    online, disconnect, exit_ = (log.index(f'"event": "{event}"') for event in ("online", "disconnect", "exit"))
    assert online < disconnect < exit_


@pytest.mark.cluster(**REMOTE)
def test_handle_stays_readable_and_a_second_disconnect_is_no_op(cluster: Cluster) -> None:
    """What is known of a worker stays known after its death; asking again, on either side, does nothing (D5)."""
    ask(
        cluster,
        "primary",
        """
        old = cluster.workers[1]
        result = old.disconnect() is old and old.disconnect() is old
        """,
    )
    wait_ended(cluster, worker=1)
    read = """
        result = [old.id, old.process.pid > 0, old.process.exit_code, old.process.signal_code, old.process.connected,
            old.state, old.exited_after_disconnect, old.is_dead(), old.is_connected(), old.send('x'), old.kill()]
    """
    facts = [1, True, 0, None, False, "dead", True, True, False, False, False]

    assert ask(cluster, "primary", read) == facts
    ask(cluster, "primary", "old.disconnect()")
    tell(cluster, "worker/2", "cluster.worker.disconnect(); cluster.worker.disconnect()")
    wait_ended(cluster, worker=2)
    cluster.wait_listening()
    assert ask(cluster, "primary", read) == facts
    assert story(cluster, 1)[-4:] == the_end(0, None, True)
    assert story(cluster, 2)[-4:] == the_end(0, None, True)
    assert "Traceback" not in cluster.log


@pytest.mark.cluster(**REMOTE, workers=1)
def test_worker_hears_of_its_own_disconnect(cluster: Cluster) -> None:
    """``cluster.worker`` before ``process``; a worker that nobody asked to leave ends before ``process`` hears."""
    listen = """
        cluster.worker.on('disconnect', lambda: say(own='worker', ead=cluster.worker.exited_after_disconnect))
        process.on('disconnect', lambda: say(own='process', connected=process.connected))
    """
    here(cluster, listen)
    tell(cluster, "primary", "cluster.workers[1].disconnect()")
    wait_ended(cluster, worker=1)
    cluster.wait_listening()
    assert [one for one in said(cluster) if "own" in one] == [
        {"own": "worker", "ead": True},
        {"own": "process", "connected": False},
    ]

    here(cluster, listen)
    tell(cluster, "primary", "cluster.workers[2].process.disconnect()")
    wait_ended(cluster, worker=2)
    assert [one for one in said(cluster) if "own" in one][2:] == [{"own": "worker", "ead": None}]


@pytest.mark.cluster(app="interrupted:app", workers=1)
def test_application_that_is_interrupted_at_import_ends_its_worker_alone(cluster_factory: ClusterFactory) -> None:
    """By a ``KeyboardInterrupt`` of its own: gunicorn would take it, in the worker, for the end of the server."""
    with pytest.raises(StartError) as caught:
        cluster_factory()
    assert "worker 1 ended with exit code 1" in str(caught.value)
    assert "in halt" not in str(caught.value)
