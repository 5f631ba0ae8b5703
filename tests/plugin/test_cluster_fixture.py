"""The fixtures, as a test run of their own sees them, with servers that behave and servers that do not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from pytest_cluster.server.leaks import session_members


def assert_no_process_left(pytester: pytest.Pytester) -> None:
    sessions = (pytester.path / "sessions").read_text().split()
    assert sessions
    assert [session_members(int(one)) for one in sessions] == [[] for _ in sessions]


def test_cluster_runs_and_leaves_no_process(fakes: pytest.Pytester) -> None:
    """Address, workers, journal and log are there; nothing is left afterwards."""
    fakes.makepyfile(
        """
        import pytest
        from pytest_cluster import Cluster

        @pytest.mark.cluster(workers=3)
        def test_it(cluster: Cluster):
            assert [one.id for one in cluster.workers] == [1, 2, 3]
            assert {one.state for one in cluster.workers} == {"listening"}
            assert cluster.url == f"http://127.0.0.1:{cluster.port}"
            assert cluster.address == ("127.0.0.1", cluster.port)
            assert cluster.returncode is None
            assert "fake server: ready" in cluster.log
            cluster.connect().close()
            assert [one.event for one in cluster.journal.entries[:3]] == ["fork", "online", "listening"]
        """
    )

    fakes.runpytest().assert_outcomes(passed=1)

    assert_no_process_left(fakes)


def test_worker_stays_readable_after_its_end(fakes: pytest.Pytester) -> None:
    fakes.makepyfile(
        """
        import pytest
        from pytest_cluster import ClusterError

        def test_it(cluster):
            first, second = cluster.workers
            first.kill()
            event = cluster.journal.wait_for("exit", worker=first.id)
            assert (event.code, event.signal, event.pid) == (None, "SIGKILL", first.pid)
            assert (first.exit_code, first.exit_signal, first.state) == (None, "SIGKILL", "dead")
            assert first.exited_after_disconnect is False
            assert second.exited_after_disconnect is None
            assert [one.id for one in cluster.workers] == [2]
            cluster.wait_listening(1)
            with pytest.raises(ClusterError, match="dead already"):
                first.kill()
            assert cluster.stop() == 0
            assert second.exit_signal == "SIGTERM"
            assert second.exited_after_disconnect is True
            assert "fake server" in cluster.log
        """
    )

    fakes.runpytest().assert_outcomes(passed=1)


def test_killed_primary_is_seen_and_its_orphans_are_a_leak(fakes: pytest.Pytester) -> None:
    """The fake's workers do not watch their primary, so they are left: an error, and they are killed."""
    fakes.makepyfile(
        """
        def test_it(cluster):
            cluster.primary.kill()
            assert cluster.returncode == -9
            cluster.journal.join(5)
        """
    )

    result = fakes.runpytest()

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*LeakError: 2 processes were left after the primary had ended*"])
    assert_no_process_left(fakes)


def test_factory_starts_several(fakes: pytest.Pytester) -> None:
    fakes.makepyfile(
        """
        import pytest
        from pytest_cluster import ClusterFactory, OptionError

        @pytest.mark.cluster(workers=1, env={"A": "1"})
        def test_it(cluster_factory: ClusterFactory):
            one = cluster_factory()
            other = cluster_factory(workers=2, env={"B": "2"})
            assert one.port != other.port
            assert (len(one.workers), len(other.workers)) == (1, 2)
            assert dict(other.options.env) == {"A": "1", "B": "2"}
            with cluster_factory() as third:
                pass
            assert third.returncode == 0
            with pytest.raises(OptionError, match="unknown keyword 'worker'; valid are workers, app"):
                cluster_factory(worker=1)
        """
    )

    fakes.runpytest().assert_outcomes(passed=1)


def test_command_line_is_under_the_marker_and_over_the_fixture(fakes: pytest.Pytester) -> None:
    fakes.makepyfile(
        """
        import pytest

        def test_command_line(cluster):
            assert len(cluster.workers) == 4
            assert cluster.options.app == "garbage"

        @pytest.mark.cluster(workers=1, app="ready")
        def test_marker(cluster):
            assert len(cluster.workers) == 1
            assert cluster.options.app == "ready"
        """
    )

    fakes.runpytest("--cluster-workers", "4", "--cluster-app=garbage").assert_outcomes(passed=2)


@pytest.mark.parametrize("value", ["0", "-1", "two"])
def test_impossible_number_of_workers_is_a_usage_error(pytester: pytest.Pytester, value: str) -> None:
    result = pytester.runpytest(f"--cluster-workers={value}")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*--cluster-workers: expected a number of workers, 1 or more, not '{value}' *"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            "wrokers=3",
            "unknown keyword 'wrokers'; valid are workers, app, script, policy, settings, config, env, preload, *",
        ),
        ("3", "takes keywords only: workers, app, *"),
        ("workers=0", "workers must be a whole number, 1 or more, not 0"),
        ("settings={'workers': 3}", "settings cannot have 'workers': use workers="),
        ("env={'A': 1}", "env must be a mapping from names to strings *"),
        ("start_timeout=0", "start_timeout must be a number of seconds above 0, not 0"),
    ],
)
def test_impossible_marker_is_a_usage_error(pytester: pytest.Pytester, arguments: str, sentence: str) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.cluster({arguments})
        def test_it(cluster):
            pass
        """
    )

    result = pytester.runpytest()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: test_*.py::test_it: @pytest.mark.cluster*{sentence}"])


def test_no_application_is_one_sentence(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(cluster): pass")

    result = pytester.runpytest()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["cluster: which application? *--cluster-app"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_setting_that_is_no_literal_is_one_sentence(fakes: pytest.Pytester) -> None:
    fakes.makepyfile(
        """
        import pytest

        @pytest.mark.cluster(settings={"post_fork": print})
        def test_it(cluster): pass
        """
    )

    fakes.runpytest().stdout.fnmatch_lines(["*the setting 'post_fork' is not a literal*; assign it in config=*"])


def test_early_death_is_seen_at_once_with_the_log(fakes: pytest.Pytester) -> None:
    """The start time-out is ten minutes; the death is reported long before, with its exit code."""
    fakes.makepyfile(
        """
        import pytest

        @pytest.mark.cluster(app="dies", start_timeout=600)
        def test_it(cluster): pass
        """
    )

    result = fakes.runpytest()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "*cluster of dies did not get ready at its start (0 of 2 *); the server ended with exit code 3 *",
            "fake server: dies",
        ]
    )


def test_start_timeout_shows_how_far_it_got(fakes: pytest.Pytester) -> None:
    fakes.makepyfile(
        """
        import pytest
        from pytest_cluster import StartError

        def test_it(cluster_factory):
            with pytest.raises(StartError) as caught:
                cluster_factory(app="stuck", workers=1, start_timeout=3)
            text = str(caught.value)
            assert "did not get ready within 3 s (0 of 1 workers listened)" in text
            assert "online worker=1" in text
            assert "fake server: stuck" in text
        """
    )

    fakes.runpytest().assert_outcomes(passed=1)


def test_server_that_does_not_stop_is_killed_and_reported(fakes: pytest.Pytester) -> None:
    fakes.makepyfile(
        """
        import pytest
        from pytest_cluster import StopError

        @pytest.mark.cluster(app="stubborn")
        def test_it(cluster):
            with pytest.raises(StopError, match="still ran 0.3 s after SIGTERM and was killed"):
                cluster.stop(timeout=0.3)
            assert cluster.returncode == -9
        """
    )

    fakes.runpytest().assert_outcomes(passed=1)
    assert_no_process_left(fakes)


def test_process_left_behind_fails_the_test_and_is_killed(fakes: pytest.Pytester) -> None:
    fakes.makepyfile(
        """
        import pytest

        @pytest.mark.cluster(app="leaky")
        def test_it(cluster): pass
        """
    )

    result = fakes.runpytest()

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*LeakError: 1 process was left after the primary had ended; killed now"])
    assert_no_process_left(fakes)


def test_failure_shows_the_log_on_the_terminal_and_in_junit_xml(fakes: pytest.Pytester) -> None:
    fakes.makepyfile("def test_it(cluster): assert not cluster.workers")

    result = fakes.runpytest("--junitxml=out.xml", "-o", "junit_logging=all")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*Captured stderr cluster: primary call*", "fake server: ready"])
    assert "fake server: ready" in (fakes.path / "out.xml").read_text()


def test_timeout_shows_expectation_entries_and_log(fakes: pytest.Pytester) -> None:
    fakes.makepyfile(
        """
        import pytest
        from pytest_cluster import WaitTimeout

        @pytest.mark.cluster(app="garbage")
        def test_it(cluster):
            with pytest.raises(TimeoutError) as caught:
                cluster.journal.wait_for("exit", worker=2, timeout=0.2)
            assert isinstance(caught.value, WaitTimeout)
            text = str(caught.value)
            assert "expected event exit of worker 2 within 0.2 s" in text
            assert "listening worker=2" in text
            assert "neither JSON" in text
            assert "fake server: garbage" in text
        """
    )

    fakes.runpytest().assert_outcomes(passed=1)


def test_end_of_the_log_is_the_primarys_and_one_workers(fakes: pytest.Pytester) -> None:
    """However much the last worker has written; of workers that have ended, the last of these is shown."""
    fakes.makepyfile(
        """
        from pathlib import Path

        def test_it(cluster):
            for worker in cluster.workers:
                file = Path(cluster.server.folder, f"worker-{worker.id}-{worker.pid}.log")
                file.write_text(f"words of {worker.id}\\n" * 5000)
            assert cluster.log_tail.startswith("fake server: ready\\nworker 2:\\nwords of 2\\n")
            assert len(cluster.log_tail) < 10000
            cluster.worker(1).kill()
            cluster.journal.wait_for("exit", worker=1)
            assert cluster.log_tail.startswith("fake server: ready\\nworker 1:\\nwords of 1\\n")
        """
    )

    fakes.runpytest().assert_outcomes(passed=1)


def test_descriptors_are_released(fakes: pytest.Pytester) -> None:
    """Four clusters later pytest holds as many descriptors and threads as before."""
    fakes.makepyfile(
        """
        import os, threading

        def test_it(cluster_factory):
            def held():
                return len(os.listdir("/proc/self/fd")), threading.active_count()

            with cluster_factory(workers=1):
                pass  # the guard stays
            before = held()
            for _ in range(4):
                with cluster_factory(workers=1):
                    pass
            assert held() == before
        """
    )

    fakes.runpytest().assert_outcomes(passed=1)


def test_interrupt_leaves_no_process(fakes: pytest.Pytester) -> None:
    """Ctrl-C in a test still ends its cluster."""
    fakes.makepyfile(
        """
        import os, signal

        def test_it(cluster):
            os.kill(os.getpid(), signal.SIGINT)
            cluster.journal.wait_for("exit")
        """
    )

    result = fakes.runpytest_subprocess()

    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert_no_process_left(fakes)


def test_session_members_are_found_by_exact_number() -> None:
    """A process of another session is not counted, nor is a zombie."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    try:
        assert [one.pid for one in session_members(process.pid)] == [process.pid]
        assert os.getpid() not in [one.pid for one in session_members(process.pid)]
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert session_members(process.pid) == []
    finally:
        process.kill()
        process.communicate()


def test_import_is_light() -> None:
    """Loading the plugin loads neither what it starts nor what only a running cluster needs."""
    heavy = ["gevent", "gunicorn", "nodecluster_compat", "http.client", "pytest_cluster.clusters.cluster"]
    code = f"import sys, pytest_cluster.plugin; print([one for one in {heavy} if one in sys.modules])"

    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
