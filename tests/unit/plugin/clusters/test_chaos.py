"""When a scenario under chaos is tried again, with fewer faults."""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import pytest

from pytest_cluster import Cluster
from pytest_cluster.clusters.chaos import Chaos
from pytest_cluster.waiting import end_waits_at


@pytest.fixture
def cluster() -> mock.MagicMock:
    """A cluster that takes every fault."""
    made = mock.MagicMock(workers=["worker 1"])
    made.__exit__.return_value = None
    return made


def test_pytest_fail_is_a_failure_as_others(cluster: mock.MagicMock) -> None:
    def scenario(cluster: Cluster) -> Iterator[None]:
        for _ in range(3):
            yield
        pytest.fail("a gap in the numbers")

    verdict = mock.Mock()
    with pytest.raises(pytest.fail.Exception, match="a gap in the numbers"):
        Chaos(lambda: cluster, None, verdict)(scenario, kinds=["kill"], seed=7)

    assert verdict.call_args.args == (mock.ANY, "chaos: it fails without any fault", cluster)
    assert str(verdict.call_args.args[0]) == "7:"
    assert cluster.ends_quickly is True


@pytest.mark.parametrize("is_up_in_attempt", [1, 2])
def test_no_attempt_after_the_time_of_the_test(cluster: mock.MagicMock, is_up_in_attempt: int) -> None:
    """The alarm of pytest-timeout is such a failure; it comes once, and nothing would end what came after it."""
    attempts = []

    def scenario(cluster: Cluster) -> Iterator[None]:
        attempts.append(cluster)
        for _ in range(3):
            yield
        if len(attempts) == is_up_in_attempt:
            end_waits_at(0.0)
        pytest.fail("Timeout")

    verdict = mock.Mock()
    former = end_waits_at(None)
    try:
        with pytest.raises(pytest.fail.Exception, match="Timeout"):
            Chaos(lambda: cluster, None, verdict)(scenario, kinds=["kill"], seed=7)
    finally:
        end_waits_at(former)

    assert len(attempts) == is_up_in_attempt
    assert verdict.call_args.args[1].startswith("chaos: it fails with 3 of 3 faults of seed 7: step 1: kill")
