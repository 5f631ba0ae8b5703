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
        """
    )

    fakes.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
