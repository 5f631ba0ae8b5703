"""Where pytest-timeout limits a test, waits end before its alarm: that test's waits, and nobody else's."""

from __future__ import annotations

import pytest

from pytest_cluster.waiting import Deadline


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


def test_wait_that_is_cut_shows_stacks(shop: pytest.Pytester) -> None:
    """They are asked for when the time is over, and take a moment."""
    shop.makepyfile(
        """
        import pytest

        @pytest.mark.timeout(4)
        def test_it(cluster):
            with cluster.expect("exit", timeout=60):
                pass
        """
    )

    result = shop.runpytest_subprocess("--cluster-workers=1")

    result.stdout.fnmatch_lines(
        ["*WaitTimeout: expected 1 x event exit * within 60 s, *: the wait ended after * s, because pytest-timeout *"]
    )
    result.stdout.fnmatch_lines(["E *--- stacks of primary *", "E * in run_once", "E *--- stacks of worker 1 *"])
    result.stdout.no_fnmatch_line("*(no answer*")


def test_thread_that_ends_pytest_shows_stacks_before(shop: pytest.Pytester) -> None:
    shop.makepyfile(
        """
        import time

        def test_it(cluster):
            time.sleep(60)
        """
    )

    result = shop.runpytest_subprocess("--timeout=5", "--timeout-method=thread", "--cluster-workers=1")

    result.stdout.fnmatch_lines(
        ["~* stacks of primary (pid *) ~*", "*in run_once*", "~* stacks of worker 1 (pid *) ~*"]
    )
    result.stdout.fnmatch_lines(["*test_it*", "*time.sleep(60)"])


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
