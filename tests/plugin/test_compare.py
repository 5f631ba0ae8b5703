"""--cluster-compare: what passes with one worker and fails with several."""

from __future__ import annotations

import pytest


def test_impossible_number_of_a_marker_is_a_usage_error(fakes: pytest.Pytester) -> None:
    fakes.makepyfile(
        """
        import pytest

        @pytest.mark.cluster(workers=[1, 2])
        def test_it(cluster): pass
        """
    )

    result = fakes.runpytest_inprocess("--cluster-compare")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *@pytest.mark.cluster: workers must be a whole number, 1 or more, *"])


def test_marker_of_a_parameter_says_how_many_the_other_run_has(fakes: pytest.Pytester) -> None:
    fakes.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("n", [pytest.param(3, marks=pytest.mark.cluster(workers=3))])
        def test_it(cluster, cluster_workers, n):
            assert cluster_workers == len(cluster.workers)
            assert cluster_workers == 1
        """
    )

    result = fakes.runpytest_inprocess("--cluster-compare")

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["test_*.py::test_it?3?: passes with 1 worker, fails with 3"])


@pytest.mark.timeout(180)
def test_counter_in_the_process_is_found(shop: pytest.Pytester) -> None:
    """The classic: right with one worker, wrong with two."""
    shop.makepyfile(
        """
        import pytest

        @pytest.mark.cluster(fresh=True)
        def test_visits(cluster_client):
            assert [cluster_client.get("/visits").text for _ in range(4)] == ["1", "2", "3", "4"]

        @pytest.mark.parametrize("path", ["/"])
        def test_answers(cluster_client, path):
            assert cluster_client.get(path).status == 200

        @pytest.mark.cluster(workers=3)
        def test_marked(cluster):
            assert len(cluster.workers) in (1, 3)

        def test_none(): pass
        """
    )

    result = shop.runpytest_inprocess("--cluster-compare")

    result.assert_outcomes(passed=6, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*cluster: 1 worker against several*",
            "test_*.py::test_visits: passes with 1 worker, fails with 2",
            "3 tests compared: 1 passes with 1 worker and fails with more",
        ]
    )


def test_marker_that_says_one_worker_leaves_nothing_to_compare(fakes: pytest.Pytester) -> None:
    fakes.makepyfile(
        """
        import pytest

        @pytest.mark.cluster(workers=1)
        def test_it(cluster):
            assert cluster.options.workers == 1
        """
    )

    result = fakes.runpytest_inprocess("--cluster-compare")

    result.assert_outcomes(passed=1)


COUNTING = """
import pytest

@pytest.mark.parametrize("again", [1, 2])
def test_visits(cluster_client, again):
    assert [cluster_client.get("/visits").text for _ in range(3)] == ["1", "2", "3"]

def test_second_visit(cluster_client):
    assert [cluster_client.get("/visits").text for _ in range(2)] == ["3", "4"]
"""


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_nothing_that_a_cluster_remembers_is_in_the_verdict(shop: pytest.Pytester) -> None:
    """Each has a cluster that has done nothing: neither the second run nor a test that needs another's visits passes.

    One that has done nothing is as good as new.
    """
    shop.makepyfile(COUNTING + "\ndef test_idle(cluster): pass\n\ndef test_idle_too(cluster): pass")

    result = shop.runpytest_inprocess("--cluster-compare")

    result.stdout.fnmatch_lines(
        [
            "*::test_visits?1?: passes with 1 worker, fails with 2",
            "*::test_visits?2?: passes with 1 worker, fails with 2",
            "5 tests compared: 2 pass with 1 worker and fail with more; 1 fails with 1 worker already",
            "cluster: * started, reused 2 times, *",
        ]
    )
    assert "used before" not in str(result.stdout)


@pytest.mark.timeout(180)
def test_earlier_tests_of_a_cluster_are_in_the_report(shop: pytest.Pytester) -> None:
    """Without a comparison a cluster is used again: what it may remember is said, and who to run for that."""
    path = shop.makepyfile("def test_idle(cluster): pass\n" + COUNTING)
    shop.makeini("[pytest]\ncluster_app = shop:app\ncluster_fork_server = true\ncluster_workers = 1\n")

    result = shop.runpytest_inprocess()

    earlier = f"{path.name}::test_visits[[]1[]]"
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(
        [
            f"used before: this cluster answered 1 earlier test ({earlier}), *fresh=True*",
            f"reproduce: pytest '{path.name}::test_visits[[]2[]]'",
            f"reproduce with those before: pytest '{earlier}' '{path.name}::test_visits[[]2[]]'",
        ]
    )


@pytest.mark.slow
def test_what_a_test_leaves_outside_of_its_cluster_is_not_the_workers(fakes: pytest.Pytester) -> None:
    """A row that the first run has written fails the second with any number of workers."""
    fakes.makepyfile(
        """
        import os

        def test_it(cluster):
            os.mkdir("row")

        def test_other(cluster):
            assert len(cluster.workers) == 1

        def test_last(cluster): pass
        """
    )

    result = fakes.runpytest_inprocess("--cluster-compare")

    result.assert_outcomes(passed=4, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*::test_other: passes with 1 worker, fails with 2",
            "*::test_it: passes with 1 worker, fails with 2, and with 1 when it runs again: what it has left outside *",
            "3 tests compared: 1 passes with 1 worker and fails with more",
        ]
    )
