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
