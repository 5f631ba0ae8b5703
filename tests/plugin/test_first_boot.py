"""``cluster_factory(start=False)``: faults that the first workers meet."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from pytest_cluster import ClusterError, ClusterFactory, FaultError, OptionError, PreparedCluster, StartError
from pytest_cluster.clusters.readiness import ends_by_itself, is_hopeless
from pytest_cluster.journal.entries import JournalEntry

NO_PAUSE = "from nodecluster_compat import cluster; cluster.setup_primary(restart_delay=0.05)"

pytestmark = pytest.mark.cluster(app="shop:app", config=NO_PAUSE)

BOOT_SECONDS = 6
"""A start that must fail is waited for as long; on a machine with much else to do, a boot takes two or three."""


def count_in(path: str) -> None:
    with open(path, "a", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")


@pytest.mark.table(quick=["exit"])
@pytest.mark.parametrize("how", ["exit", "late", "kill"])
def test_one_worker_fails_to_boot(cluster_factory: ClusterFactory, how: str) -> None:
    """Another takes its place, and the fault is the first thing in the journal.

    Not so when it cannot import: until some worker listens, gunicorn's arbiter ends then.
    """
    prepared = cluster_factory(start=False)
    prepared.faults.boot_failure(how, worker=1)
    cluster = prepared.start()
    assert [worker.id for worker in cluster.workers] == [2, 3]
    assert cluster.journal.entries[0].detail == f"boot failure ({how}) of worker 1"
    assert f"injected: boot failure ({how})" in cluster.worker(1).describe_end()
    assert cluster.get("/").status == 200
    assert cluster.faults is prepared.faults


def test_no_worker_boots(cluster_factory: ClusterFactory) -> None:
    """The error has the reason, and says that it was injected."""
    prepared = cluster_factory(start=False)
    prepared.faults.boot_failure()
    with pytest.raises(StartError, match=r"not get ready at its start .*injected: the application does") as told:
        prepared.start()
    assert "INJECTED boot failure (import) of workers to come" in str(told.value)


def test_one_worker_boots_slowly(cluster_factory: ClusterFactory) -> None:
    """The cluster serves meanwhile, and the test goes on with it."""
    prepared = cluster_factory(start=False)
    with prepared.faults.hold("boot", worker=2) as gate:
        cluster = prepared.start(workers=1)
        gate.wait_reached()
        assert {cluster.get("/").worker for _ in range(4)} == {1}
        gate.release()
        assert [worker.id for worker in cluster.wait_listening()] == [1, 2]


def test_step_of_every_first_worker(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    """And a function of the application, which is replaced when that is loaded."""
    prepared = cluster_factory(workers=3, start=False)
    prepared.faults.at("fork", count_in, f"{tmp_path}/forked")
    prepared.faults.at("shop:charge", count_in, f"{tmp_path}/asked", times=None)
    cluster = prepared.start()
    pids = {str(worker.pid) for worker in cluster.workers}
    with open(f"{tmp_path}/forked", encoding="ascii") as file:
        assert set(file.read().split()) == pids
    cluster.get("/pay")
    with open(f"{tmp_path}/asked", encoding="ascii") as file:
        assert set(file.read().split()) < pids


def test_step_that_is_not_there(cluster_factory: ClusterFactory) -> None:
    """Nobody can know that before the application is loaded."""
    prepared = cluster_factory(start=False)
    prepared.faults.at("shop:nothing", count_in, "unused")
    with pytest.raises(StartError, match=r"names the step 'shop:nothing': .* no attribute 'nothing'; expected a"):
        prepared.start()


def test_what_is_never_started_leaves_nothing(pytester: pytest.Pytester) -> None:
    """Neither a folder nor a process, descriptor or thread; and it is no cluster in the summary."""
    pytester.makepyfile(
        """
        def test_it(cluster_factory):
            prepared = cluster_factory(app="shop:app", start=False)
            prepared.faults.boot_failure()
            with open("folder", "w") as file:
                file.write(prepared._server.folder)
        """
    )
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("cluster: * started*")
    assert not os.path.exists((pytester.path / "folder").read_text())
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before


def test_it_is_started_once(cluster_factory: ClusterFactory) -> None:
    prepared: PreparedCluster = cluster_factory(start=False)
    assert repr(prepared) == "<cluster of shop:app, prepared>"
    for workers in (0, 3, "1", True, 1.5):
        with pytest.raises(OptionError, match=rf"start\(workers\): expected a whole number, 1 to 2, got {workers!r}"):
            prepared.start(workers=workers)  # type: ignore[arg-type]
    with prepared.start():
        assert repr(prepared) == "<cluster of shop:app, started>"
        with pytest.raises(ClusterError, match=r"this cluster was started; .* prepares another"):
            prepared.start()


def test_stock_workers_meet_no_fault(cluster_factory: ClusterFactory) -> None:
    prepared = cluster_factory(worker_class="gevent", config="", start=False)
    with pytest.raises(FaultError, match="workers of 'gevent' are not under the test's control"):
        prepared.faults.boot_failure()


def test_start_that_waits_for_all_of_them(cluster_factory: ClusterFactory) -> None:
    """Without ``workers=`` a held worker is missed, in time and by name."""
    prepared = cluster_factory(start=False, start_timeout=BOOT_SECONDS)
    reason = (
        rf"within {BOOT_SECONDS} s \(1 of 2 workers listened\); "
        r"worker 2 did not listen \(injected: hold of boot in worker 2\)"
    )
    with prepared.faults.hold("boot", worker=2), pytest.raises(StartError, match=reason):
        prepared.start()
    with pytest.raises(ClusterError, match="this cluster was started, and has failed"):
        prepared.start()


@pytest.mark.table(quick=["exit", "hang"])
@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("exit", r"worker \d+ ended with exit code 1 \(injected: boot failure \(exit\) of workers to come\)"),
        ("kill", r"worker \d+ ended with SIGKILL \(injected: boot failure \(kill\) of workers to come\)"),
        ("hang", r"worker 1, 2 did not listen \(injected: boot failure \(hang\) of workers to come\)"),
    ],
    ids=["exit", "kill", "hang"],
)
def test_start_that_fails_says_what_was_injected(cluster_factory: ClusterFactory, how: str, told: str) -> None:
    """All of them fail to boot; which is the first to be reported is the kernel's choice."""
    prepared = cluster_factory(start=False, start_timeout=BOOT_SECONDS if how == "hang" else 30)
    prepared.faults.boot_failure(how)
    with pytest.raises(StartError, match=told):
        prepared.start()


def test_socket_at_which_nobody_has_listened_yet_is_removed(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    """gunicorn binds long before; nothing that a start was, stays."""
    path = tmp_path / "web.sock"
    prepared = cluster_factory(start=False, start_timeout=2, settings={"bind": f"unix:{path}"})
    with prepared.faults.hold("boot"), pytest.raises(StartError):
        prepared.start()
    assert not path.exists()


@pytest.mark.parametrize("start", ["no", 0, None])
def test_start_is_a_flag(cluster_factory: ClusterFactory, start: object) -> None:
    with pytest.raises(OptionError, match="cluster_factory: expected start to be True or False, got"):
        cluster_factory(start=start)


def story(*steps: str, code: int | None = None) -> list[JournalEntry]:
    """Entries as ``fork 1``, ``exit 1`` with this exit code; ``fault``: the test's own doing."""
    entries = []
    for seq, step in enumerate(steps, 1):
        event, _, worker = step.partition(" ")
        state = {"exit": "dead", "fault": ""}.get(event, event)
        entries.append(JournalEntry(seq, float(seq), event, int(worker or 0), 1000 + seq, state, code=code))
    return entries


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (["fork 1", "fork 2", "exit 1"], False),
        (["fork 1", "fork 2", "exit 1", "exit 2"], True),
        (["fork 1", "fork 2", "fork 3", "exit 1", "exit 2"], False),
        (["fork 1", "exit 1"], False),
        (["fork 1", "exit 1", "fork 2", "exit 2"], True),
        (["fault", "fork 1", "fork 2", "exit 1", "exit 2"], False),
        (["fork 1", "fork 2", "listening 2", "exit 1", "exit 2"], False),
        (["fork 1", "fork 2", "fork 3", "fork 4", "exit 1", "exit 2", "exit 3"], True),
    ],
)
def test_boot_is_given_up(steps: list[str], expected: bool) -> None:
    """As soon as all have failed, and more than one: not after the pause before the next, which may be long."""
    assert is_hopeless(story(*steps)) is expected


@pytest.mark.parametrize(("code", "expected"), [(3, True), (4, True), (0, False), (7, False), (None, False)])
def test_end_of_the_server_is_waited_for_only_where_it_comes(code: int | None, expected: bool) -> None:
    """gunicorn ends when a worker cannot load its application; one that leaves is replaced after a pause."""
    assert ends_by_itself(story("fork 1", "fork 2", "exit 1", "exit 2", code=code)) is expected
    assert not ends_by_itself(story("fork 1", "fork 2", "exit 1", code=code))
