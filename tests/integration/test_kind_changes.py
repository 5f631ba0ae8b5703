"""Reloads from one kind of worker to another: nothing is lost, both are one cluster meanwhile, or the old one stays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import gunicorn
import pytest
from kinds import THREAD_WORKER
from raw_http import CHANGE, folder_of
from remote_control import CONF, wait, wait_logged
from witness import witnesses

from pytest_cluster import Cluster, Gate

pytestmark = pytest.mark.skipif(gunicorn.version_info < (27, 0, 1), reason="ASGIWorker needs gunicorn 27.0.1")

KINDS: Final = {
    "gevent": "nodecluster_compat.Worker",
    "threads": THREAD_WORKER,
    "asgi": "nodecluster_compat.ASGIWorker",
}
SHOWN: Final = {"gevent": "Hub ", "threads": "threads are busy", "asgi": "in run_loop\n"}
EITHER: Final[dict[str, Any]] = {
    "app": "either_app:app",
    "config": CONF + "keepalive = 30\ncluster.setup_primary(max_surge=1)\n" + CHANGE,
    "workers": 2,
    "env": {"INTERFACE": "wsgi"},
}


def configure(cluster: Cluster, kind: str, interface: str = "") -> None:
    """Write the configuration of the next reload: that kind, and an application of its interface or another."""
    interface = interface or interface_of(kind)
    threads = "threads = 4\n" if kind == "threads" else ""
    text = f"worker_class = {KINDS[kind]!r}\nraw_env = ['INTERFACE={interface}']\n{threads}"
    (folder_of(cluster) / "second").write_text(text)


def interface_of(kind: str) -> str:
    """What an application has to be for workers of a kind, and what it answers."""
    return "asgi" if kind == "asgi" else "wsgi"


def begun_with(cluster: Cluster, kind: str) -> list[int]:
    """Let all workers be of a kind; return them."""
    configure(cluster, kind)
    assert cluster.reload().succeeded
    return sorted(worker.id for worker in cluster.wait_listening(2))


def wait_shown(cluster: Cluster, worker: int, kind: str) -> None:
    """Wait until the stacks of a worker are those of its kind: it may be between two turns of its loop."""
    wait(lambda: SHOWN[kind] in cluster.worker(worker).stacks(), f"the stacks of {kind}", cluster)


def clients_of(cluster: Cluster) -> Any:
    """Four that ask all the time: two on connections of their own, two on kept ones."""
    return witnesses(cluster, clients=2, kept=2)


def answering(cluster: Cluster) -> dict[int, str]:
    """Who answers, and of which interface its application is."""
    return {answer.worker: answer.text for answer in (cluster.get("/") for _ in range(6)) if answer.worker}


# From gevent on: each kind follows upon each other.
WALK: Final = ("threads", "asgi", "gevent", "asgi", "threads", "gevent")


@pytest.mark.cluster(**EITHER)
def test_reloads_from_each_kind_to_each_other_lose_nothing(cluster: Cluster) -> None:
    """Clients that keep their connections, and others, ask all the time."""
    with clients_of(cluster) as witness:
        for kind in WALK:
            configure(cluster, kind)
            assert cluster.reload().succeeded
            wait_shown(cluster, cluster.wait_listening(2)[0].id, kind)
            assert set(answering(cluster).values()) == {interface_of(kind)}
        witness.finish()
    assert witness.failures == []
    assert "Traceback" not in cluster.log


@contextmanager
def half_way(cluster: Cluster, workers: list[int]) -> Iterator[Gate]:
    """A reload that has replaced the first of two workers, and whose second new one is held while it boots."""
    with clients_of(cluster) as witness:
        with cluster.faults.hold("boot", worker=workers[1] + 2) as gate:
            cluster.primary.signal("SIGHUP")
            gate.wait_reached(timeout=40)
            cluster.journal.wait_for("exit", worker=workers[0])
            yield gate
        witness.finish()
    assert witness.failures == []


FROM_TO: Final = [("asgi", "threads"), ("gevent", "asgi"), ("threads", "gevent")]


@pytest.mark.table(quick=["asgi-threads"])
@pytest.mark.cluster(**EITHER)
@pytest.mark.parametrize(("old", "new"), FROM_TO)
def test_two_kinds_are_one_cluster_while_a_reload_lasts(cluster: Cluster, old: str, new: str) -> None:
    """Both are dealt connections, hear and send messages, and show what they do."""
    workers = begun_with(cluster, old)
    configure(cluster, new)
    with half_way(cluster, workers) as gate:
        kinds = {workers[1]: old, workers[1] + 1: new}
        both = {worker: interface_of(kind) for worker, kind in kinds.items()}
        wait(lambda: answering(cluster) == both, "answers of both", cluster)
        for number, kind in kinds.items():
            worker = cluster.worker(number)
            wait_shown(cluster, number, kind)
            worker.send({"to": number})
            cluster.wait_for(lambda _, one=worker: one.run("either_app:HEARD.copy"), reason="a message to it")
            with cluster.messages.expect({"from": number}, sent=False):
                worker.run("either_app:tell", {"from": number})
        assert [cluster.worker(number).run("either_app:HEARD.copy") for number in kinds] == [
            [{"to": number}] for number in kinds
        ]
        gate.release()
        wait_logged(cluster, "Reload 2 succeeded")
    assert set(answering(cluster).values()) == {interface_of(new)}


@pytest.mark.table(quick=["asgi-threads"])
@pytest.mark.cluster(**EITHER)
@pytest.mark.parametrize(("old", "new"), FROM_TO)
def test_new_kind_that_fails_half_way_leaves_what_serves(cluster: Cluster, old: str, new: str) -> None:
    """The worker that took the place of another stays, beside one of the old kind; its successor is of that kind."""
    workers = begun_with(cluster, old)
    configure(cluster, new)
    with half_way(cluster, workers) as gate:
        (arrival,) = gate.wait_reached()
        cluster.worker(arrival.worker).kill()
        wait_logged(cluster, "Reload 2 failed: a worker of the new generation was ended by SIGKILL")
        both = {workers[1]: interface_of(old), workers[1] + 1: interface_of(new)}
        wait(lambda: answering(cluster) == both, "answers of both", cluster)
    cluster.worker(workers[1] + 1).kill()
    successor = cluster.journal.wait_for("listening", predicate=lambda entry: entry.worker > arrival.worker)
    wait_shown(cluster, successor.worker, old)
    assert set(answering(cluster).values()) == {interface_of(old)}


NO_CLASS: Final = [
    ("os.NoWorker", "which does not exist"),
    ("nodecluster_compat.AsgiWorker", "it has ASGIWorker"),
]


@pytest.mark.cluster(**{**EITHER, "worker_class": KINDS["asgi"], "env": {"INTERFACE": "asgi"}})
@pytest.mark.parametrize(("name", "reason"), NO_CLASS)
def test_kind_that_does_not_exist_is_no_reload(cluster: Cluster, name: str, reason: str) -> None:
    """The report says so."""
    (folder_of(cluster) / "second").write_text(f"worker_class = {name!r}\n")
    assert reason in str(cluster.reload().reason)
    assert cluster.get("/").text == "asgi"


OLD: Final = "import gunicorn\ngunicorn.version_info, gunicorn.__version__ = (26, 2, 0), '26.2.0'\n"


@pytest.mark.cluster(**{**EITHER, "worker_class": KINDS["threads"]}, fresh=True)
def test_kind_for_which_gunicorn_is_too_old_is_no_reload(cluster: Cluster) -> None:
    """The report has the sentence that a start has."""
    (folder_of(cluster) / "second").write_text(f"{OLD}worker_class = {KINDS['asgi']!r}\n")
    reason = str(cluster.reload().reason)
    assert "expected gunicorn 27.0.1 or newer for ASGIWorker, got 26.2.0" in reason
    assert cluster.get("/").text == "wsgi"


OTHER_INTERFACE: Final = [
    ("asgi", "gevent", "use nodecluster_compat.ASGIWorker for it, or name its WSGI application"),
    ("asgi", "threads", "use nodecluster_compat.ASGIWorker for it, or name its WSGI application"),
    ("threads", "asgi", "use nodecluster_compat.Worker or nodecluster_compat.ThreadWorker for it, or name its ASGI"),
]


@pytest.mark.table(quick=["asgi-threads"])
@pytest.mark.cluster(**EITHER)
@pytest.mark.parametrize(("old", "new", "sentence"), OTHER_INTERFACE, ids=[f"{a}-{b}" for a, b, _ in OTHER_INTERFACE])
def test_kind_whose_application_is_of_the_other_interface_is_no_reload(
    cluster: Cluster, old: str, new: str, sentence: str
) -> None:
    """The sentence names the class to take, and the former workers serve on."""
    before = set(begun_with(cluster, old))
    configure(cluster, new, interface_of(old))
    with clients_of(cluster) as witness:
        assert cluster.reload().state == "failed"
        wait_logged(cluster, sentence)
        wait(lambda: set(answering(cluster)) == before, "answers of the workers of before", cluster)
        witness.finish()
    assert witness.failures == []
