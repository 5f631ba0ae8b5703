"""What a test can ask of the processes of a real cluster, and what it reads of them after their end."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_cluster import (
    Client,
    Cluster,
    ClusterError,
    ClusterFactory,
    Journal,
    NotImportable,
    ProcessGone,
    RemoteError,
    WaitTimeout,
    assert_distribution,
)

pytestmark = pytest.mark.cluster(app="shop:app")


class OddError(Exception):
    """Cannot be made again from its ``args``."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def pid_here() -> int:
    return os.getpid()


def greet(name: str, *, loudly: bool = False) -> str:
    return f"HELLO {name}" if loudly else f"hello {name}"


def fail() -> None:
    raise KeyError("nothing")


def fail_oddly() -> None:
    raise OddError(1, 2)


def make_a_lock() -> object:
    return threading.Lock()


def sleep_long() -> None:
    time.sleep(60)


def end_here() -> None:
    os._exit(9)


def role_here() -> tuple[bool, int | None]:
    from nodecluster_compat import cluster

    return cluster.is_primary, cluster.worker.id if cluster.worker else None


@pytest.mark.each_kind
def test_run_in_a_worker_in_all_and_in_the_primary(cluster: Cluster) -> None:
    """A function of the test's own file, of the standard library, with arguments and results."""
    first, second = cluster.workers
    assert first.run(pid_here) == first.pid
    assert second.run(os.getpid) == second.pid
    assert first.run(greet, "Ada", loudly=True) == "HELLO Ada"
    assert cluster.primary.run(role_here) == (True, None)
    assert cluster.run_in_all(role_here) == {first.id: (False, first.id), second.id: (False, second.id)}


@pytest.mark.each_kind
def test_exception_comes_back_as_it_was(cluster: Cluster) -> None:
    """With the traceback of the other process as its cause."""
    worker = cluster.workers[0]
    with pytest.raises(KeyError, match="nothing") as caught:
        worker.run(fail)
    assert "in fail" in str(caught.value.__cause__)
    assert f"in worker {worker.id}" in str(caught.value.__cause__)


def test_exception_and_result_that_cannot_be_brought_over(cluster: Cluster) -> None:
    worker = cluster.workers[0]
    with pytest.raises(RemoteError, match="raised OddError: 1 and 2"):
        worker.run(fail_oddly)
    with pytest.raises(TypeError, match=r"cannot be sent back.*return plain data"):
        worker.run(make_a_lock)


def test_function_without_a_name_there(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says what to do instead."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NotImportable, match=r"a lambda, or a function inside another.*top level.*cloudpickle"):
        cluster.workers[0].run(lambda: 1)
    with pytest.raises(NotImportable, match="expected a function, not 42"):
        cluster.workers[0].run(42)  # type: ignore[arg-type]


def test_function_that_no_worker_finds(cluster: Cluster) -> None:
    advice = r"top level of the test's own file, or its folder in pytest's pythonpath"
    for name in ("nowhere:function", "shop:missing"):
        with pytest.raises(NotImportable, match=f"{name} cannot be imported here: .*{advice}"):
            cluster.workers[0].run(name)


def test_argument_that_a_stuck_process_cannot_take(cluster: Cluster) -> None:
    """More than the buffers of a socket hold: the test's own thread is not kept, and the call waits there."""
    first = cluster.workers[0]
    with cluster.faults.hang(first), pytest.raises(WaitTimeout, match=r"did not answer within 0\.2 s"):
        first.run(len, b"x" * 5_000_000, timeout=0.2)
    assert first.run(len, b"x" * 5_000_000) == 5_000_000


def test_workers_are_the_same_or_not(cluster: Cluster) -> None:
    """Each look makes new objects, so the same worker must be equal to itself, or a test of that cannot fail."""
    first, second = cluster.workers
    assert first == cluster.worker(1)
    assert first in cluster.workers
    assert first != second
    assert len({*cluster.workers, *cluster.workers}) == 2
    assert first != first.id


def test_function_that_takes_too_long_shows_where_it_is(cluster: Cluster) -> None:
    first = cluster.workers[0]
    first.run(pid_here)  # it has this file now, whose import takes its time
    with pytest.raises(WaitTimeout, match="did not answer within 1 s") as caught:
        first.run(sleep_long, timeout=1)
    assert "in sleep_long" in str(caught.value)
    assert "--- stacks of primary" in str(caught.value)


@pytest.mark.each_kind
@pytest.mark.cluster(fresh=True)
def test_process_that_ends_while_it_is_asked(cluster: Cluster) -> None:
    worker = cluster.workers[0]
    with pytest.raises(ProcessGone, match=f"worker {worker.id}: the process {worker.pid} ended before it answered"):
        worker.run(end_here)
    cluster.journal.wait_for("exit", worker=worker.id)
    assert worker.exit_code == 9
    with pytest.raises(ProcessGone, match=rf"worker {worker.id} \(pid {worker.pid}\) is dead already: exit code 9"):
        worker.run(pid_here)


@pytest.mark.each_kind
def test_requests_are_counted_by_the_worker_that_serves_them(cluster: Cluster, cluster_client: Client) -> None:
    """Also after its death, and those that it took along."""
    first, second = cluster.workers
    before = first.requests_served
    hits = cluster_client.get_many("/", 6)
    assert hits.by_worker() == {first.id: 3, second.id: 3}
    with cluster.faults.hold("shop:confirm") as gate:
        answers = [cluster_client.submit("/pay") for _ in range(2)]
        gate.wait_reached(2)
        first.kill()
        cluster.journal.wait_for("exit", worker=first.id)
        assert first.requests_served == before + 3
        assert first.tally.in_flight == 1
    assert [isinstance(one.exception(), ConnectionError) for one in answers].count(True) == 1


def test_distribution_asks_for_every_worker_that_listened(cluster: Cluster, cluster_client: Client) -> None:
    """One request cannot have gone to both."""
    first, second = (worker.id for worker in cluster.workers)
    assert_distribution(cluster_client.get_many("/", 2))
    hits = cluster_client.get_many("/", 1)
    assert hits.listening == {first, second}
    with pytest.raises(AssertionError, match=f"nothing went to worker ({first}|{second}):"):
        assert_distribution(hits)
    with cluster_client.load("/") as hits:
        pass
    assert hits.listening == {first, second}


def test_status_that_has_no_name(cluster: Cluster, cluster_client: Client) -> None:
    """As proxies have them."""
    cluster.faults.fail_next(1, status=520)
    assert cluster_client.get("/").status == 520


@pytest.mark.each_kind
@pytest.mark.cluster(fresh=True)
def test_logs_are_each_process_own(cluster: Cluster, cluster_client: Client) -> None:
    answer = cluster_client.get("/warn")
    assert answer.worker is not None
    speaker = cluster.worker(answer.worker)
    (other,) = [worker for worker in cluster.workers if worker.id != answer.worker]
    assert speaker.logs.text.count("the shop warns") == 1
    assert "the shop warns" not in other.logs.text
    assert "the shop warns" not in cluster.primary.logs.text
    assert speaker.logs.tail(1) == "the shop warns"
    assert "Booting worker" in other.logs.since_test_start()
    assert f"Listening at: {cluster.url}" in cluster.primary.logs.text
    cluster.stop()
    cluster.close()
    assert speaker.logs.text.count("the shop warns") == 1


def test_stacks_of_threads_and_greenlets(cluster: Cluster, cluster_client: Client) -> None:
    worker = cluster.workers[0]
    with cluster.faults.hold("shop:confirm") as gate:
        answers = [cluster_client.submit("/pay") for _ in range(2)]
        gate.wait_reached(2)
        assert "shop.py" in worker.stacks()
        assert "in app" in worker.stacks()
        assert "run_once" in cluster.primary.stacks()
    assert [one.result().status for one in answers] == [200, 200]


@pytest.mark.each_kind
def test_message_from_the_test_to_a_worker(cluster: Cluster) -> None:
    with cluster.messages.expect({"news": 1}, sent=True, exactly=2):
        cluster.broadcast({"news": 1, "rest": "any"})
    assert [entry.message for entry in cluster.messages.sent][-2:] == [{"news": 1, "rest": "any"}] * 2


def test_snapshot_is_a_picture(cluster: Cluster) -> None:
    before = cluster.snapshot()
    assert (before.target, before.generation, before.returncode) == (2, 0, None)
    assert [worker.state for worker in before.workers] == ["listening", "listening"]
    cluster.workers[0].kill()
    cluster.journal.wait_for("exit", worker=before.workers[0].id)
    after = cluster.snapshot()
    assert before.workers[0].state == "listening"
    assert after.workers[0].state == "dead"
    assert after.workers[0].end == f"SIGKILL (injected: SIGKILL to worker {before.workers[0].id})"
    assert "DEAD  SIGKILL" in str(after)


@pytest.mark.each_kind
def test_scale_and_reload(cluster: Cluster, cluster_client: Client) -> None:
    """With requests all the time, and none of them lost."""
    from pytest_cluster import assert_no_request_lost

    with cluster_client.load("/", concurrency=2) as hits:
        assert len(cluster.scale(3)) == 3
        old = cluster.workers
        report = cluster.reload()
        assert len(cluster.scale(1)) == 1
    assert report.succeeded
    assert report.number == 1
    assert all(worker.exited_after_disconnect for worker in old)
    assert_no_request_lost(hits)
    for wrong in (0, "3"):
        with pytest.raises(ClusterError, match=rf"expected 1 to .* workers, got {wrong!r}"):
            cluster.scale(wrong)  # type: ignore[arg-type]
    with pytest.raises(ClusterError, match="wait_listening: expected a whole number, 0 or more, got -1"):
        cluster.wait_listening(-1)
    with pytest.raises(ClusterError, match="wait_for: expected a function of the cluster, got 3"):
        cluster.wait_for(3, reason="nothing")  # type: ignore[call-overload]


@pytest.mark.cluster(fresh=True)
def test_scale_that_loses_a_worker_fails(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cluster.workers[0]
    ask = cluster.primary.ask

    def ask_and_kill(operation: str, *arguments: object) -> object:
        monkeypatch.undo()
        with cluster.expect("exit", worker=first):
            os.kill(first.pid, signal.SIGKILL)
        return ask(operation, *arguments)

    monkeypatch.setattr(cluster.primary, "ask", ask_and_kill)
    with pytest.raises(AssertionError, match=r"scaled, but worker 1 was not asked to end: SIGKILL"):
        cluster.scale(3)


def test_reload_that_fails_is_in_the_report(cluster: Cluster) -> None:
    cluster.faults.boot_failure("import")
    before = [worker.id for worker in cluster.workers]
    report = cluster.reload()
    assert (report.succeeded, report.state) == (False, "failed")
    assert report.reason is not None
    cluster.faults.undo()
    assert [worker.id for worker in cluster.workers] == before


def test_reload_that_fails_has_ended_when_it_is_reported(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report and the journal come by two ways; here the report overtakes all but the fork."""

    def overtaking(operation: str, timeout: float | None = None) -> dict[str, object]:
        if operation == "status":
            return {"workers": [{"id": one, "is_leaving": one not in before} for one in (*before, 3)]}
        cluster.primary.signal("SIGHUP")
        cluster.journal.wait_for("fork", worker=3)
        return {"number": 1, "state": "failed", "reason": "it does not import", "seconds": 0.0}

    cluster.faults.boot_failure("import")
    monkeypatch.setattr(cluster.primary, "ask", overtaking)
    before = [worker.id for worker in cluster.workers]
    cluster.reload()
    monkeypatch.undo()
    assert [worker.id for worker in cluster.workers] == before


@pytest.mark.cluster(fresh=True)
def test_reload_that_fails_late_keeps_a_new_worker(cluster: Cluster) -> None:
    """One that listens where an old one has left already; nobody waits for its end."""
    first, second = cluster.workers
    cluster.faults.boot_failure("late", worker=4)
    with cluster.faults.hold("boot", worker=4) as gate, ThreadPoolExecutor(1) as pool:
        reload = pool.submit(cluster.reload, timeout=60)
        gate.wait_reached()
        cluster.journal.wait_for("exit", worker=first)
        gate.release()
        report = reload.result()
    assert report.state == "failed"
    assert [worker.id for worker in cluster.workers] == [second.id, 3]


@pytest.mark.each_kind
def test_disconnect_of_a_worker_and_of_all(cluster: Cluster) -> None:
    first = cluster.workers[0]
    with cluster.expect("exit", worker=first) as event:
        first.disconnect()
    assert (event.code, event.signal) == (0, None)
    assert first.exited_after_disconnect is True
    cluster.wait_listening()
    assert cluster.disconnect() == 0
    assert [worker.exited_after_disconnect for worker in cluster.every_worker] == [True, True, True]


@pytest.mark.each_kind
def test_the_same_everywhere_or_not(cluster: Cluster, cluster_client: Client) -> None:
    """The mistake that a test with one process does not find."""
    assert cluster.assert_same_everywhere(greet, "Ada") == "hello Ada"
    cluster_client.get("/visits")
    with pytest.raises(
        AssertionError, match=r"shop:visits_here\(\) is not the same in every worker:\n  worker \d+: \d"
    ):
        cluster.assert_same_everywhere("shop:visits_here")


@pytest.mark.each_kind
def test_wait_for_says_what_it_waited_for(cluster: Cluster) -> None:
    assert cluster.wait_for(lambda one: len(one.workers), reason="anybody") == 2
    with pytest.raises(WaitTimeout, match=r"expected a third worker within 0\.1 s") as caught:
        cluster.wait_for(lambda one: len(one.workers) == 3, reason="a third worker", timeout=0.1)
    assert "primary pid" in str(caught.value)


def test_journal_fixture_is_the_clusters(cluster: Cluster, cluster_journal: Journal) -> None:
    assert cluster_journal is cluster.journal


@pytest.mark.slow
@pytest.mark.cluster(worker_class="gevent", fresh=True)
def test_stock_worker_class_has_no_agent(cluster: Cluster) -> None:
    with pytest.raises(ProcessGone, match="not under the test's control"):
        cluster.primary.run(pid_here)


def test_worker_whose_end_is_not_told_yet(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was reaped, and the journal lags: a sentence all the same, and the test is not taken for the reason."""
    worker = cluster.workers[0]

    def is_gone(*_: object) -> None:
        raise ProcessLookupError

    for name in ("os.kill", "resource.prlimit"):
        monkeypatch.setattr(name, is_gone)
    with pytest.raises(ProcessGone, match=rf"worker 1 \(pid {worker.pid}\) has ended just now"):
        worker.kill()
    assert not worker.is_ending()
    with pytest.raises(ProcessGone, match="has ended just now"), cluster.faults.paused(worker):
        pass
    with pytest.raises(ProcessGone, match="has ended just now"), cluster.faults.fd_limit(worker):
        pass
    monkeypatch.undo()


def test_unix_socket_of_a_killed_primary_is_removed(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    """Not so one that somebody else has there by now."""
    stale, taken = tmp_path / "stale", tmp_path / "taken"
    with cluster_factory(settings={"bind": [f"unix:{stale}", f"unix:{taken}"]}) as cluster:
        cluster.primary.kill()
        cluster.server.settle()
        assert stale.is_socket()
        taken.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(taken))
            other.listen()
            cluster.close()
            assert taken.is_socket()
    assert not stale.exists()


@pytest.mark.each_kind
def test_many_time_outs_at_once_harm_nobody(cluster: Cluster) -> None:
    """Each of them wants everybody's stacks, and signals for those, many at once, would end a worker."""
    before = cluster.workers
    with cluster.faults.paused(cluster.primary), ThreadPoolExecutor(40) as threads:
        futures = [threads.submit(cluster.get, "/", timeout=0.5) for _ in range(40)]
        for future in futures:
            with pytest.raises(WaitTimeout, match=r": the primary \(pid \d+\) is stopped \(injected: SIG"):
                future.result()
    assert cluster.get("/").status == 200
    assert cluster.workers == before
