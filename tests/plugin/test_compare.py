"""--cluster-compare: what passes with one worker and fails with several."""

from __future__ import annotations

import pytest

from pytest_cluster.compare import Result, comparison


def test_table() -> None:
    results = [
        Result("a", 1, True), Result("a", 2, False), Result("a", 4, False),
        Result("b", 1, True), Result("b", 2, True),
        Result("c", 1, False), Result("c", 2, False),
        Result("d", 1, True), Result("d", 1, False), Result("d", 2, False),
    ]  # fmt: skip

    assert comparison(results) == [
        "a: passes with 1 worker, fails with 2, 4",
        "4 tests compared: 1 passes with 1 worker and fails with more; 2 fail with 1 worker already",
    ]


def test_table_of_one_test() -> None:
    assert comparison([Result("a", 1, False), Result("a", 2, False)]) == [
        "1 test compared: 0 pass with 1 worker and fail with more; 1 fails with 1 worker already",
    ]


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
