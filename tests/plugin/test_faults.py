"""Every fault, on a real cluster: what happens, that it is noted as injected, and that it is undone."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import ModuleType
from typing import Any

import pytest

from pytest_cluster import (
    Client,
    Cluster,
    FaultError,
    Faults,
    OptionError,
    ProcessGone,
    Response,
    StartError,
    WaitTimeout,
    assert_distribution,
    assert_no_request_lost,
)

# Their own clusters: what a fault leaves behind is looked at.
pytestmark = pytest.mark.cluster(app="shop:app", fresh=True)


# Between the attempts to start a worker.
NO_PAUSE = "from nodecluster_compat import cluster; cluster.setup_primary(restart_delay=0.05)"


def faults_of(cluster: Cluster) -> list[str]:
    return [entry.detail for entry in cluster.journal.entries if entry.injected]


def one() -> int:
    return 1


@pytest.mark.each_kind
@pytest.mark.table(quick=["kill-None-SIGKILL", "exit-1-None", "disconnect-0-None"])
@pytest.mark.parametrize(
    ("fault", "code", "name"),
    [("kill", None, "SIGKILL"), ("stop", 0, None), ("exit", 1, None), ("crash", 255, None), ("disconnect", 0, None)],
)
def test_end_of_a_worker(
    cluster: Cluster, cluster_faults: Faults, fault: str, code: int | None, name: str | None
) -> None:
    first = cluster.workers[0]
    with cluster.expect("exit", worker=first) as event:
        getattr(cluster_faults, fault)(first)
    assert (event.code, event.signal) == (code, name)
    assert first.exited_after_disconnect is (fault == "disconnect")
    assert len(faults_of(cluster)) == 1
    assert "worker 1" in faults_of(cluster)[0]
    assert "injected" in first.describe_end()


@pytest.mark.each_kind
@pytest.mark.table(quick=["kill--9"])
@pytest.mark.parametrize(("fault", "code"), [("kill", -9), ("stop", 0), ("exit", 1)])
def test_end_of_the_primary(cluster: Cluster, cluster_faults: Faults, fault: str, code: int) -> None:
    """Its workers go with it: the fixture would fail the test otherwise."""
    getattr(cluster_faults, fault)(cluster.primary)
    assert cluster.server.process.wait(30) == code
    assert "primary" in faults_of(cluster)[0]


@pytest.mark.each_kind
def test_what_has_ended_cannot_be_broken_any_more(cluster: Cluster, cluster_faults: Faults) -> None:
    """Each says who is dead, and how it ended; nothing is noted, and the handles stay readable."""
    with pytest.raises(FaultError, match=r"the primary has no main loop .* use exit\(\) or kill\(\)"):
        cluster_faults.crash(cluster.primary)  # type: ignore[arg-type]
    first = cluster.workers[0]
    with cluster.expect("exit", worker=first):
        first.kill()
    noted = len(faults_of(cluster))
    attempts = [
        lambda: cluster_faults.kill(first),
        lambda: cluster_faults.disconnect(first),
        lambda: cluster_faults.paused(first).__enter__(),
        lambda: cluster_faults.fd_limit(first).__enter__(),
        lambda: first.send("anything"),
        lambda: first.run(one),
    ]
    for attempt in attempts:
        with pytest.raises(ProcessGone, match=r"worker 1 \(pid \d+\) is dead already: SIGKILL \(injected: SIGKILL to"):
            attempt()
    assert len(faults_of(cluster)) == noted
    assert (first.state, first.exit_signal) == ("dead", "SIGKILL")
    assert first.stacks().startswith("(worker 1 (pid ")
    cluster.stop()
    for attempt in (cluster.reload, cluster.primary.kill, lambda: cluster.primary.run(one)):
        with pytest.raises(ProcessGone, match=r"the primary \(pid \d+\) has ended already: exit code 0 \(injected: "):
            attempt()


def test_fault_that_ends_nobody_is_not_its_end(cluster: Cluster, cluster_faults: Faults) -> None:
    first = cluster.workers[0]
    cluster_faults.slow(0.001, worker=first)
    with cluster.expect("exit", worker=first):
        first.run(os.kill, first.pid, signal.SIGTERM)
    assert "injected" not in first.describe_end()


def test_fault_that_is_over_is_not_its_end(cluster: Cluster, cluster_faults: Faults) -> None:
    first = cluster.workers[0]
    with cluster_faults.paused(first), cluster_faults.fd_limit(first, 5):
        pass
    cluster_faults.at("request", os.getpid, worker=first)
    cluster_faults.undo()
    with cluster.expect("exit", worker=first):
        first.run(os.kill, first.pid, signal.SIGTERM)
    assert faults_of(cluster)[-1] == "end of getpid at request in worker 1"
    assert "injected" not in first.describe_end()


@pytest.mark.each_kind
def test_fault_of_all_explains_the_end_of_one(cluster: Cluster, cluster_faults: Faults, cluster_client: Client) -> None:
    cluster_faults.at("request", leave_with, 9)
    with cluster.expect("exit") as event:
        cluster_client.submit("/")
    assert cluster.worker(event.worker).describe_end() == (
        "exit code 9 (injected: leave_with at request in every worker)"
    )


@pytest.fixture
def error_of_ours(monkeypatch: pytest.MonkeyPatch) -> Exception:
    """Of a module that only this process has."""
    module = ModuleType("module_of_the_test")
    error = type("OursError", (Exception,), {"__module__": module.__name__})
    vars(module)["OursError"] = error
    monkeypatch.setitem(sys.modules, module.__name__, module)
    made: Exception = error("here")
    return made


@pytest.mark.cluster(fresh=False)
def test_error_that_a_worker_cannot_have_is_refused(
    cluster: Cluster, cluster_faults: Faults, error_of_ours: Exception
) -> None:
    first = cluster.workers[0]
    with pytest.raises(FaultError, match=r"worker 1 cannot have the error OursError\('here'\): .*module_of_the_test"):
        cluster_faults.crash(first, error_of_ours)
    with pytest.raises(FaultError, match=r"cannot be injected at request: .*module_of_the_test"):
        cluster_faults.fail_next(error=error_of_ours)
    with pytest.raises(FaultError, match=r"cannot be made from one text .*give an error, not its class"):
        cluster_faults.fail_next(error=UnicodeDecodeError)
    with pytest.raises(FaultError, match=r"the arguments .* cannot be sent to a worker: cannot pickle"):
        cluster_faults.at("request", leave_with, threading.Lock())
    with pytest.raises(FaultError, match=r"cannot be injected at request: .*nowhere:gone cannot be imported here"):
        cluster_faults.at("request", "nowhere:gone")
    assert cluster.get("/").status == 200
    assert [one.id for one in cluster.wait_listening()] == [1, 2]


def test_error_with_arguments_of_its_own(cluster: Cluster, cluster_faults: Faults) -> None:
    cluster_faults.fail_next(error=UnicodeDecodeError("utf-8", b"x", 0, 1, "no such letter"))
    assert cluster.get("/").status == 500
    assert "UnicodeDecodeError: 'utf-8' codec can't decode byte 0x78" in cluster.log


def test_crash_with_an_error_of_the_tests_own(cluster: Cluster, cluster_faults: Faults) -> None:
    first = cluster.workers[0]
    with cluster.expect("exit", worker=first):
        cluster_faults.crash(first, OSError("disk on fire"))
    assert "OSError: disk on fire" in first.logs.text


@pytest.mark.each_kind
def test_pause_and_resume(cluster: Cluster, cluster_faults: Faults) -> None:
    first, second = cluster.workers
    with cluster_faults.paused(first):
        assert "(no answer: it is stopped)" in first.stacks()
        with pytest.raises(WaitTimeout):
            first.run(one, timeout=0.2)
        assert second.run(one) == 1
    assert first.run(one) == 1
    assert faults_of(cluster) == ["SIGSTOP to worker 1", "end of SIGSTOP to worker 1"]


@pytest.mark.cluster(settings={"timeout": 3})
def test_pause_beyond_the_timeout_of_gunicorn_is_refused(cluster: Cluster, cluster_faults: Faults) -> None:
    """The worker is resumed in time, and lives."""
    first = cluster.workers[0]
    with (
        pytest.raises(FaultError, match=r"worker 1 was paused for more than 1\.5 s.*timeout is 3 s"),
        cluster_faults.paused(first),
    ):
        cluster.wait_for(lambda _: "(no answer" not in first.stacks(), reason="it to be resumed")
    assert not first.is_dead()


@pytest.mark.cluster(settings={"timeout": 2})
def test_pause_beyond_the_timeout_on_purpose(cluster: Cluster, cluster_faults: Faults) -> None:
    first = cluster.workers[0]
    with cluster_faults.paused(first, longer_than_timeout=True):
        cluster.journal.wait_for("exit", worker=first.id, timeout=20)
    assert first.exit_signal == "SIGKILL"


def test_pause_of_the_primary(cluster: Cluster, cluster_faults: Faults, cluster_client: Client) -> None:
    """Nobody accepts meanwhile; afterwards everything goes on."""
    with cluster_faults.paused(cluster.primary):
        answer = cluster_client.submit("/")
        with pytest.raises(WaitTimeout):
            cluster.primary.run(one, timeout=0.2)
        assert not answer.done()
    assert answer.result().status == 200


@pytest.mark.each_kind
def test_hang_is_seen_in_the_stacks_and_ends(cluster: Cluster, cluster_faults: Faults) -> None:
    first, second = cluster.workers
    with cluster_faults.hang(first):
        assert "_hang" in first.stacks()
        with pytest.raises(WaitTimeout):
            first.run(one, timeout=0.2)
        assert second.run(one) == 1
    assert first.run(one) == 1


def test_hang_of_the_primary(cluster: Cluster, cluster_faults: Faults, cluster_client: Client) -> None:
    with cluster_faults.block_hub(cluster.primary):
        assert "_hang" in cluster.primary.stacks()
        with pytest.raises(WaitTimeout):
            cluster.primary.run(one, timeout=0.2)
        assert cluster_client.get("/").status == 200  # dealing goes on beside it


@pytest.mark.cluster(settings={"timeout": 2})
def test_hang_beyond_the_timeout_is_ended_by_the_arbiter(cluster: Cluster, cluster_faults: Faults) -> None:
    first = cluster.workers[0]
    with cluster_faults.hang(first), cluster.expect("exit", worker=first, timeout=20) as event:
        pass
    assert (event.code, event.signal) == (1, None)  # the handler of SIGABRT, between two slices of the hang
    assert first.describe_end() == "exit code 1 (injected: hang of worker 1)"


@pytest.mark.each_kind
def test_slow_requests(cluster: Cluster, cluster_faults: Faults, cluster_client: Client) -> None:
    """One worker is slow, the other is not: whoever answers first is the other."""
    first, second = cluster.workers
    cluster_faults.slow(30.0, worker=first)
    answers = [cluster_client.submit("/") for _ in range(2)]
    cluster.wait_for(lambda _: any(one.done() for one in answers), reason="one answer")
    assert [one.result().worker for one in answers if one.done()] == [second.id]
    cluster.wait_for(lambda _: first.tally.in_flight == 1, reason="the slow one has begun")
    first.kill()


@pytest.mark.each_kind
def test_next_requests_fail(cluster: Cluster, cluster_faults: Faults, cluster_client: Client) -> None:
    first, second = cluster.workers
    cluster_faults.fail_next(2, status=503, worker=first)
    hits = cluster_client.get_many("/", 8)
    assert [hit.status for hit in hits if hit.worker == first.id] == [503, 503, 200, 200]
    assert [hit.status for hit in hits if hit.worker == second.id] == [200] * 4
    assert len(hits.lost) == 2


def test_next_requests_raise(cluster: Cluster, cluster_faults: Faults, cluster_client: Client) -> None:
    cluster_faults.fail_next(1, error=LookupError)
    assert [hit.status for hit in cluster_client.get_many("/", 4)] == [500, 500, 200, 200]
    assert "LookupError: injected by the test" in cluster.log


@pytest.mark.each_kind
@pytest.mark.table(quick=["import-3", "kill-None"])
@pytest.mark.cluster(config=NO_PAUSE)
@pytest.mark.parametrize(("how", "code"), [("import", 3), ("exit", 1), ("late", 255), ("kill", None)])
def test_boot_failure_of_a_successor(cluster: Cluster, cluster_faults: Faults, how: str, code: int | None) -> None:
    """The third worker fails to boot, the fourth does not."""
    cluster_faults.boot_failure(how, worker=3)
    with cluster.expect("exit", worker=3) as event:
        cluster.workers[0].kill()
    assert event.code == code
    assert [worker.id for worker in cluster.wait_listening()] == [2, 4]


def test_boot_that_hangs_until_it_is_undone(cluster: Cluster, cluster_faults: Faults) -> None:
    cluster_faults.boot_failure("hang", worker=3)
    with cluster.expect("online", worker=3):
        cluster.workers[0].kill()
    cluster_faults.undo()
    assert [worker.id for worker in cluster.wait_listening()] == [2, 3]


def test_unknown_boot_failure(cluster_faults: Faults) -> None:
    with pytest.raises(FaultError, match="expected one of import, exit, kill, hang, late, got 'explode'"):
        cluster_faults.boot_failure("explode")


@pytest.mark.each_kind
def test_descriptor_limit(cluster: Cluster, cluster_faults: Faults, cluster_client: Client) -> None:
    """The primary has none left: the client waits in the backlog, and is served when there are some again."""
    with cluster_faults.fd_limit(cluster.primary):
        answer = cluster_client.submit("/")
        cluster.wait_for(lambda one: "Too many open files" in one.primary.logs.text, reason="the primary to say so")
        assert not answer.done()
    assert answer.result().status == 200


@pytest.mark.each_kind
def test_hold_and_release(cluster: Cluster, cluster_faults: Faults, cluster_client: Client) -> None:
    """Who has come is known; who comes after a release waits again."""
    first, second = cluster.workers
    with cluster_faults.hold("shop:charge", worker=first) as gate:
        held, free = cluster_client.submit("/pay"), cluster_client.submit("/pay")
        (arrival,) = gate.wait_reached()
        assert (arrival.worker, arrival.pid, arrival.step) == (first.id, first.pid, "shop:charge")
        assert {held.done(), free.done()} != {True}
        gate.release()
        assert {held.result().worker, free.result().worker} == {first.id, second.id}
        again: list[Future[Response]] = []

        def another_was_held(_: Cluster) -> bool:
            # One after another: a worker that has answered is not known to be free at once.
            if all(one.done() for one in again):
                again.append(cluster_client.submit("/pay"))
            return len(gate.arrivals) == 2

        cluster.wait_for(another_was_held, reason="another call in worker 1")
        assert not again[-1].done()
    assert {one.result().text for one in again} == {"paid"}


def test_hold_of_what_nobody_reaches(cluster_faults: Faults) -> None:
    with cluster_faults.hold("shop:charge") as gate, pytest.raises(WaitTimeout, match=r"2 calls .* \(0 did\)"):
        gate.wait_reached(2, timeout=0.1)


@pytest.mark.cluster(fresh=False)
@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        ("shop:missing", "cannot hold shop:missing: .*no attribute 'missing'"),
        ("nowhere:app", "cannot hold nowhere:app: No module named 'nowhere'"),
        ("shop:visits", "only what is called can be a step"),
        ("fork", "nothing can wait at 'fork', where a worker has no loop yet: hold 'boot', or use at"),
        ("shop:app", "the application itself, which the server has already; hold 'request'"),
    ],
)
def test_step_that_cannot_be_held(cluster_faults: Faults, step: str, sentence: str) -> None:
    with pytest.raises(FaultError, match=sentence), cluster_faults.hold(step):
        pass


@pytest.mark.each_kind
def test_barrier_lets_all_go_at_once(cluster: Cluster, cluster_faults: Faults, cluster_client: Client) -> None:
    """Two requests, one in each worker, are in the application at the same time: a race, every time."""
    with cluster_faults.barrier("request", 2) as gate:
        hits = cluster_client.get_many("/", 2, concurrency=2)
        # Who has them is open: a worker that has answered is not known to be free at once.
        more = cluster_client.get_many("/", 2, concurrency=2)
    assert hits.by_worker() == {1: 1, 2: 1}
    assert [hit.status for hit in more] == [200, 200]
    assert len(gate.arrivals) == 4


def test_worker_by_its_id(cluster: Cluster, cluster_faults: Faults, cluster_client: Client) -> None:
    """Wherever a worker can be said; also one that is to come."""
    cluster_faults.fail_next(status=503, worker=1)
    with cluster_faults.hold("shop:charge", worker=2) as gate, cluster.expect("message", worker=2, none=True):
        answers = [cluster_client.submit("/pay") for _ in range(2)]
        assert [one.worker for one in gate.wait_reached()] == [2]
    assert sorted(one.result().status for one in answers) == [200, 503]
    with pytest.raises(OptionError, match="expected a worker or its id, got '2'"):
        cluster_faults.slow(1.0, worker="2")  # type: ignore[arg-type]

    cluster_faults.slow(0.001, worker=3)
    assert faults_of(cluster)[-1] == "slow by 0.001 s in worker 3"
    cluster.workers[0].kill()
    assert [one.id for one in cluster.wait_listening()] == [2, 3]


def test_worker_that_comes_later_is_held_as_well(cluster: Cluster, cluster_faults: Faults) -> None:
    with cluster_faults.hold("ready") as gate:
        cluster.workers[0].kill()
        (arrival,) = gate.wait_reached()
        assert arrival.worker == 3
        # The primary tells what it knows by another way, so that may come later.
        cluster.wait_for(lambda one: one.workers[-1].state == "online", reason="the third one online")
    cluster.wait_listening()


def leave_with(code: int) -> None:
    import os

    os._exit(code)


@pytest.mark.table(quick=["shop:charge"])
@pytest.mark.parametrize("step", ["request", "shop:charge"])
def test_fault_of_the_tests_own_in_one_worker(
    cluster: Cluster, cluster_faults: Faults, cluster_client: Client, step: str
) -> None:
    first = cluster.workers[0]
    cluster_faults.at(step, leave_with, 9, worker=first)
    with cluster.expect("exit", worker=first) as event:
        answers = [cluster_client.submit("/pay") for _ in range(2)]
        assert sorted(answer.exception(20) is None for answer in answers) == [False, True]
    assert event.code == 9
    assert faults_of(cluster) == [f"leave_with at {step} in worker 1"]


@pytest.mark.table(quick=["fork", "listening"])
@pytest.mark.parametrize("step", ["fork", "online", "boot", "ready", "listening"])
def test_fault_of_the_tests_own_in_a_worker_to_come(cluster: Cluster, cluster_faults: Faults, step: str) -> None:
    cluster_faults.at(step, leave_with, 9, worker=3)
    cluster.workers[0].kill()
    assert cluster.journal.wait_for("exit", worker=3).code == 9
    told = {"fork": ["fork"], "online": ["fork"], "listening": ["fork", "online", "listening"]}
    story = [one.event for one in cluster.journal.entries if one.worker == 3 and not one.injected]
    assert story == [*told.get(step, ["fork", "online"]), "disconnect", "exit"]


def test_fault_of_the_tests_own_happens_so_often(cluster: Cluster, cluster_faults: Faults) -> None:
    """Once, unless it says otherwise; what the function raises is raised at the step."""
    cluster_faults.at("request", "builtins:int", "no number", worker=cluster.workers[0], times=2)
    assert sorted(cluster.get("/").status for _ in range(6)) == [200, 200, 200, 200, 500, 500]


def test_step_is_held_while_a_worker_ends(cluster: Cluster, cluster_faults: Faults, cluster_client: Client) -> None:
    """One that is told of it as it ends is no worker that could come there."""
    cluster.workers[0].kill()
    with cluster_faults.hold("request") as gate:
        answer = cluster_client.submit("/")
        gate.wait_reached()
    assert answer.result().worker in (2, 3)


def test_what_a_test_forgets_is_undone(cluster: Cluster, cluster_client: Client) -> None:
    cluster.faults.slow(60.0)
    cluster.faults.undo()
    assert cluster_client.get("/").status == 200


@pytest.mark.cluster(settings={"timeout": 30})
def test_signals_by_name(cluster: Cluster, cluster_faults: Faults) -> None:
    with cluster.expect("exit", worker=1) as event:
        cluster_faults.kill(cluster.workers[0], signal.SIGSEGV)
    assert event.signal == "SIGSEGV"


def test_cluster_that_never_boots_is_given_up_at_once(cluster_factory: object) -> None:
    """Three workers that end before they listen are enough; nobody waits for the start time-out."""
    with pytest.raises(StartError, match=r"0 of 2 workers listened\); worker \d ended with exit code 1"):
        cluster_factory(  # type: ignore[operator]
            config=f"{NO_PAUSE}\ndef post_fork(server, worker):\n    import os\n    os._exit(1)", start_timeout=300
        )


@pytest.mark.cluster(fresh=False)
@pytest.mark.parametrize("step", ["listenning", "", "shop"])
def test_step_that_nobody_comes_to_is_refused(cluster: Cluster, cluster_faults: Faults, step: str) -> None:
    """A misspelt step would be a test that injects nothing."""
    with pytest.raises(FaultError, match="expected a step of the server"):
        cluster_faults.at(step, "os:getpid")
    with pytest.raises(FaultError, match="expected a step of the server"), cluster_faults.hold(step):
        pass


@pytest.mark.cluster(fresh=True)
def test_workers_of_a_killed_primary_are_dead(cluster: Cluster) -> None:
    """Nobody writes their end down, so the system is asked."""
    workers = cluster.workers
    cluster.primary.kill()
    cluster.wait_for(lambda one: not one.workers, reason="the end of the workers", timeout=20)
    assert [(one.is_dead(), one.state) for one in workers] == [(True, "dead")] * 2
    assert "the primary had ended" in workers[0].describe_end()
    with pytest.raises(ProcessGone):
        workers[0].kill()
    with pytest.raises(WaitTimeout):
        cluster.wait_listening(timeout=0.1)


@pytest.mark.cluster(fresh=False)
def test_primary_cannot_be_disconnected(cluster: Cluster, cluster_faults: Faults) -> None:
    with pytest.raises(FaultError, match=r"cluster\.disconnect"):
        cluster_faults.disconnect(cluster.primary)  # type: ignore[arg-type]


@pytest.mark.cluster(fresh=False)
def test_journal_is_walked_over(cluster: Cluster) -> None:
    assert [entry.event for entry in cluster.journal].count("listening") == 2


def test_number_that_was_scaled_to_is_waited_for(cluster: Cluster) -> None:
    cluster.scale(1)
    cluster.workers[0].kill()
    assert len(cluster.wait_listening()) == 1


@pytest.mark.cluster(fresh=False)
def test_what_means_nothing_is_refused(cluster: Cluster, cluster_faults: Faults) -> None:
    """In one sentence: a fault that never happens, or a wait for nothing, lets a test pass."""
    primary, messages, wrong = cluster.primary, cluster.messages, [None]  # of no type that anything takes
    no_process = r"expected a worker \(cluster.worker\(1\)\) or cluster.primary, got "
    faults: Any = cluster_faults
    refused: list[tuple[str, Callable[[], object]]] = [
        (r"slow\(seconds\): expected a number of seconds, 0 or more, got '1'", lambda: faults.slow("1")),
        (r"slow\(seconds\): .* got -1", lambda: faults.slow(-1)),
        (r"slow\(seconds\): .* got nan", lambda: faults.slow(float("nan"))),
        (r"slow\(seed\): expected a whole number, 0 or more, got \[None\]", lambda: faults.slow(1, seed=wrong)),
        (r"delay_messages\(seed\): .* got \[None\]", lambda: faults.delay_messages(1, seed=wrong)),
        (r"drop_messages\(seed\): .* got \[None\]", lambda: faults.drop_messages(seed=wrong)),
        (r"reorder_messages\(seed\): .* got \[None\]", lambda: faults.reorder_messages(seed=wrong)),
        (r"fail_next\(times\): expected a whole number, 1 or more, got 0", lambda: faults.fail_next(0)),
        (r"fail_next\(status\): .* 100 to 599, got 99", lambda: faults.fail_next(status=99)),
        ("expected an error, or the class of one, got 'x'", lambda: faults.fail_next(error="x")),
        (
            r"at\(times\): expected a whole number, 1 or more, got 'x'",
            lambda: faults.at("boot", "os:getpid", times="x"),
        ),
        (r"barrier\(parties\): .* got True", lambda: faults.barrier("request", True).__enter__()),
        ("worker: expected a whole number, 1 or more, got 0", lambda: faults.boot_failure("exit", worker=0)),
        ("expected one of import, .*, got \\[None\\]", lambda: faults.boot_failure(wrong)),
        (no_process, lambda: faults.kill(1)),
        (no_process, lambda: faults.exit(1)),
        (no_process, lambda: faults.paused(1).__enter__()),
        (no_process, lambda: faults.hang(1).__enter__()),
        (no_process, lambda: faults.fd_limit(1).__enter__()),
        (no_process, lambda: faults.file_limit(1).__enter__()),
        (no_process, lambda: faults.memory_limit(1).__enter__()),
        (no_process, lambda: faults.memory_group(1, 1).__enter__()),
        (r"exit\(code\): expected .* 0 to 255, got '1'", lambda: faults.exit(primary, "1")),
        (r"crash\(error\): expected an error, got 'x'", lambda: faults.crash(cluster.workers[0], "x")),
        (r"fd_limit\(spare\): .* got -1", lambda: faults.fd_limit(primary, -1).__enter__()),
        (r"fd_limit\(spare\): .* to 1048576, got 10{30}", lambda: faults.fd_limit(primary, 10**30).__enter__()),
        ("timeout: expected a number of seconds, more than 0, got 0", lambda: cluster.get("/", timeout=0)),
        ("timeout: .* got '1'", lambda: cluster.get("/", timeout="1")),  # type: ignore[arg-type]
        ("timeout: .* more than 0, got 0", lambda: cluster.connect(0)),
        ("timeout: .* got '1'", lambda: cluster.connect("1")),  # type: ignore[arg-type]
        ("timeout: .* got '1'", lambda: cluster.wait_listening(timeout="1")),  # type: ignore[arg-type]
        ("timeout: .* got nan", lambda: cluster.wait_listening(timeout=float("nan"))),
        ("timeout: .* got True", lambda: cluster.run_in_all(one, timeout=True)),
        ("timeout: .* got -1", lambda: primary.run(one, timeout=-1)),
        ("expected count= to be 1 or more, got '1'", lambda: cluster.expect(count="1")),  # type: ignore[arg-type]
        ("expected exactly= to be 0 or more, got True", lambda: cluster.expect(exactly=True)),
        ("expected predicate= to be a function of an", lambda: cluster.expect(predicate=1)),  # type: ignore[arg-type]
        ("expected sent= to be True, False or None, got 'x'", lambda: messages.expect(sent="x")),  # type: ignore[arg-type]
        ("expected hits, as .*get_many.* got 3", lambda: assert_no_request_lost(3)),  # type: ignore[arg-type]
        ("expected hits, as .*get_many.* got 3", lambda: assert_distribution(3)),  # type: ignore[arg-type]
    ]
    for sentence, call in refused:
        with pytest.raises((OptionError, FaultError, ValueError), match=sentence):
            call()
    with pytest.raises(FaultError, match="has no status of its own"):
        cluster_faults.fail_next(status=500, error=ValueError)
    assert faults_of(cluster) == []
    with cluster_faults.hold("request") as gate, pytest.raises(OptionError, match=r"wait_reached\(count\): .* got 0"):
        gate.wait_reached(0)
