"""Where pytest-timeout limits a test, waits end before its alarm: that test's waits, and nobody else's."""

from __future__ import annotations

import pytest

from pytest_cluster.server.server_process import ServerProcess
from pytest_cluster.waiting import Deadline

# A boot takes as long as the machine is busy with others.
FROM_THE_CALL_ON = ("-o", "timeout_func_only=true")


def test_limit_ends_with_its_test(fakes: pytest.Pytester) -> None:
    """Neither the next test nor the run around this one has it."""
    fakes.makepyfile(
        """
        import pytest
        from pytest_cluster.waiting import Deadline

        @pytest.mark.timeout(50)
        def test_limited(cluster):
            assert 0 < Deadline(1000).remaining <= 45

        def test_unlimited():
            assert Deadline(1000).remaining > 900
        """
    )

    result = fakes.runpytest_inprocess("-p", "no:cacheprovider")

    result.assert_outcomes(passed=2)
    assert Deadline(1000).remaining > 900


def test_limit_of_the_environment(fakes: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes before the ini file's, as pytest-timeout has it."""
    monkeypatch.setenv("PYTEST_TIMEOUT", "50")
    fakes.makeini("[pytest]\ntimeout = 500\n")
    fakes.makepyfile(
        """
        from pytest_cluster.waiting import Deadline

        def test_it(cluster):
            assert 0 < Deadline(1000).remaining <= 45
        """
    )

    fakes.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_limit_of_the_call_alone(fakes: pytest.Pytester) -> None:
    """Where pytest-timeout does not count the set-up, a boot may last; the waits of the call have its time."""
    fakes.makeini("[pytest]\ntimeout = 50\ntimeout_func_only = true\n")
    fakes.makepyfile(
        """
        import pytest
        from pytest_cluster.waiting import Deadline

        @pytest.fixture
        def later(cluster):
            return Deadline(1000).remaining

        def test_it(later):
            assert later > 900
            assert 0 < Deadline(1000).remaining <= 45

        def test_that_asks_in_its_call(request):
            assert Deadline(1000).remaining > 900
            request.getfixturevalue("".join(["clus", "ter"]))
            assert 0 < Deadline(1000).remaining <= 45

        @pytest.mark.timeout(50, func_only=False)
        def test_as_a_whole(later):
            assert 0 < later <= 45
        """
    )

    fakes.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=3)


@pytest.mark.slow
def test_debugger_lifts_the_limit(fakes: pytest.Pytester) -> None:
    """Pytest-timeout lets a test be that somebody looks into; so do its waits."""
    fakes.makepyfile(
        """
        import pytest
        from pytest_cluster.waiting import Deadline

        @pytest.mark.timeout(50)
        def test_it(cluster, request):
            request.config.hook.pytest_enter_pdb(config=request.config, pdb=None)
            assert Deadline(1000).remaining > 900

        @pytest.mark.timeout(50)
        def test_after(cluster):
            assert Deadline(1000).remaining > 900
        """
    )

    fakes.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=2)


@pytest.mark.slow
def test_wait_that_is_cut_shows_stacks(shop: pytest.Pytester) -> None:
    """They are asked for when the time is over, and take a moment."""
    shop.makepyfile(
        """
        import pytest

        @pytest.mark.timeout(6, func_only=True)
        def test_it(cluster):
            with cluster.expect("exit", timeout=60):
                pass
        """
    )

    result = shop.runpytest_subprocess("--cluster-workers=1")

    result.stdout.fnmatch_lines(
        ["*WaitTimeout: expected 1 x event exit * within 60 s, *: the wait ended after * s, because pytest-timeout *"]
    )
    result.stdout.fnmatch_lines(
        ["E *--- stacks of primary *", 'E *arbiter.py", line * in run', "E *--- stacks of worker 1 *"]
    )
    result.stdout.no_fnmatch_line("*(no answer*")


def test_thread_that_ends_pytest_shows_stacks_before(shop: pytest.Pytester) -> None:
    shop.makepyfile(
        """
        import time

        def test_it(cluster):
            time.sleep(60)
        """
    )

    result = shop.runpytest_subprocess(
        *FROM_THE_CALL_ON, "--timeout=3", "--timeout-method=thread", "--cluster-workers=1"
    )

    result.stdout.fnmatch_lines(
        ["~* stacks of primary (pid *) ~*", '*arbiter.py", line * in run', "~* stacks of worker 1 (pid *) ~*"]
    )
    result.stdout.fnmatch_lines(["*test_it*", "*time.sleep(60)"])


@pytest.mark.slow
def test_thread_is_called_off_with_the_test(shop: pytest.Pytester) -> None:
    shop.makepyfile(
        """
        import threading

        def test_it(cluster, request):
            assert any(thread.name.endswith(request.node.nodeid) for thread in threading.enumerate())

        def test_after(cluster, request):
            assert not any("test_it" in thread.name for thread in threading.enumerate())
        """
    )

    shop.runpytest_subprocess("--timeout=50", "--timeout-method=thread").assert_outcomes(passed=2)


STUCK = """
import time

def app(environ, start_response):
    if environ["PATH_INFO"] == "/stuck":
        time.sleep(300)
    start_response("200 OK", [])
    return [b"ok"]
"""


@pytest.fixture
def stuck(pytester: pytest.Pytester, forked: None) -> pytest.Pytester:
    """A project with an application that may not answer, or never end to."""
    pytester.makepyfile(stuck=STUCK)
    pytester.makeini("[pytest]\ncluster_app = stuck:app\ncluster_workers = 1\n")
    return pytester


def test_request_under_way_at_the_end_of_a_failed_test(stuck: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, and ends quickly: how long that may wait is in ``tests/unit/plugin/server/test_quick_end.py``."""
    ends: list[bool] = []
    close = ServerProcess.close

    def noted(server: ServerProcess, *, quick: bool = False) -> None:
        ends.append(quick)
        close(server, quick=quick)

    monkeypatch.setattr(ServerProcess, "close", noted)
    stuck.makepyfile(
        """
        def test_it(cluster):
            with cluster.connect() as connection:
                connection.sendall(b"GET /stuck HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
                cluster.wait_for(lambda c: c.worker(1).tally.in_flight, reason="a request")
                pytest_fails_here()

        def test_factory(cluster_factory):
            with cluster_factory() as one:
                one.client.submit("/stuck")
                one.wait_for(lambda c: c.worker(1).tally.in_flight, reason="a request")
                pytest_fails_here()
        """
    )

    result = stuck.runpytest_inprocess()

    result.assert_outcomes(failed=2)
    assert ends == [True, True]
    result.stdout.fnmatch_lines(
        [
            "cause: not the cluster: *",
            "under way: worker 1 (pid *) has 1 request in flight; the end of a failed test cuts that off",
        ]
    )


def test_request_under_way_at_the_end_of_a_test_that_passes(stuck: pytest.Pytester) -> None:
    """The graceful end waits for it, as ``graceful_timeout`` says, and the last lines say so."""
    stuck.makepyfile(
        """
        import pytest

        @pytest.mark.cluster(settings={"graceful_timeout": 3})
        def test_it(cluster):
            connection = cluster.connect()
            connection.sendall(b"GET /stuck HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
            cluster.wait_for(lambda c: c.worker(1).tally.in_flight, reason="a request")
            pytest.kept = connection

        def test_close(): pytest.kept.close()
        """
    )

    result = stuck.runpytest_inprocess()

    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "*cluster: slow ends*",
            "*::test_it: its end took * s, because worker 1 (pid *) had 1 request under way: *graceful_timeout (3 s)",
        ]
    )


def test_held_step_is_the_cause_when_the_alarm_came_first(stuck: pytest.Pytester) -> None:
    """The block that holds it has ended when the report is made; it was looked at when the signal came."""
    stuck.makepyfile(
        """
        import signal
        import pytest

        @pytest.mark.timeout(60, method="signal")
        def test_it(cluster):
            with cluster.faults.hold("request") as gate, cluster.connect(timeout=100) as connection:
                connection.sendall(b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
                gate.wait_reached()
                signal.setitimer(signal.ITIMER_REAL, 0.2)  # the time-out comes earlier
                connection.recv(1)
        """
    )

    result = stuck.runpytest_inprocess()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["cause: at the time-out, worker 1 (pid *) has 1 request in flight (injected: hold of request in *)"]
    )


def test_clock_stands_still_while_a_failure_is_described(fakes: pytest.Pytester) -> None:
    """An alarm that comes then would end the whole run; what was left goes on behind it."""
    fakes.makeconftest(
        fakes.path.joinpath("conftest.py").read_text()
        + """
import signal
import pytest

def pytest_cluster_report_sections():
    return [("clock", f"meanwhile: {signal.getitimer(signal.ITIMER_REAL)[0] > 60}")]

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport():
    report = yield
    report.sections.append(("clock", f"behind it: {0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 50}"))
    return report
"""
    )
    fakes.makepyfile(
        """
        import pytest

        @pytest.mark.timeout(50, method="signal")
        def test_it(cluster): assert False
        """
    )

    result = fakes.runpytest_inprocess()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*meanwhile: True*", "*behind it: True*"])
