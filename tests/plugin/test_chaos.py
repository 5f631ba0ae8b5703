"""Scenarios under chaos: the fewest faults that they fail of, the line that replays them; workers restarted by hand."""

from __future__ import annotations

import re

import pytest

from pytest_cluster import Cluster


@pytest.mark.cluster(app="pid_echo:app", workers=2)
def test_workers_are_restarted_one_by_one(cluster: Cluster) -> None:
    """Nobody loses a request, all are new, and what a step yields is the new one."""
    before = cluster.workers
    come = []
    for new in cluster.rolling_restart():
        come.append(new)
        assert len(cluster.workers) == 2
        assert new.state == "listening"
        assert all(hit.status == 200 for hit in cluster.client.get_many("/", 4))
    assert cluster.workers == come
    assert [one.exited_after_disconnect for one in before] == [True, True]


@pytest.fixture
def chaotic(shop: pytest.Pytester) -> pytest.Pytester:
    shop.makepyfile(
        """
        import pytest

        def visits(cluster):
            assert cluster.get("/visits", timeout=20).ok
            for _ in range(6):
                yield
                assert not any("SIGKILL" in entry.detail for entry in cluster.journal)

        def no_generator(cluster): pass

        def test_it(cluster_chaos):
            cluster_chaos(visits, kinds=["kill", "slow"], seed=10, workers=1, fork_server=True)

        def raises_nothing(cluster):
            for _ in range(2):
                yield
            with pytest.raises(ValueError):
                cluster.get("/visits", timeout=20)

        def test_nothing(cluster_chaos):
            cluster_chaos(raises_nothing, kinds=["slow"], seed=10, workers=1)

        def test_survives(cluster_chaos):
            cluster_chaos(visits, kinds=["slow"], workers=1)

        def test_wrong(cluster_chaos):
            cluster_chaos(no_generator)

        def test_unknown(cluster_chaos):
            cluster_chaos(visits, kinds=["meteor"])

        def test_unknown_kinds(cluster_chaos):
            cluster_chaos(visits, kinds=5)

        def test_wrong_scenario(cluster_chaos):
            cluster_chaos(5)
        """
    )
    return shop


@pytest.mark.slow
def test_scenario_is_shrunk_to_the_fault_that_it_fails_of(chaotic: pytest.Pytester) -> None:
    result = chaotic.runpytest_inprocess("--cluster-fork-server", "-k", "test_it or survives")

    result.assert_outcomes(failed=1, passed=1)
    out = result.stdout.str()
    told = re.search(r"(?m)^chaos: it fails with 1 of (4) faults of seed 10: step (\d): kill$", out)
    assert told is not None
    replay = re.search(r"(?m)^reproduce: pytest (\S+) --cluster-fork-server --cluster-chaos=(10:\d)$", out)
    assert replay is not None
    assert replay[2] == f"10:{told[2]}"
    result.stdout.fnmatch_lines(["*AssertionError*", "*INJECTED SIGKILL to worker 1*"])

    again = chaotic.runpytest_inprocess("--cluster-fork-server", replay[1], f"--cluster-chaos={replay[2]}")
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(
        [f"chaos: it fails with 1 of 1 faults of seed 10: step {told[2]}: kill", "cluster: 1 started*"]
    )


def test_scenario_that_fails_by_pytest(chaotic: pytest.Pytester) -> None:
    """``pytest.fail``, as ``pytest.raises`` uses it, is no ``Exception``."""
    result = chaotic.runpytest_inprocess("--cluster-fork-server", "-k", "nothing")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["chaos: it fails without any fault", "reproduce: * --cluster-chaos=10:*"])


def test_what_is_no_scenario(chaotic: pytest.Pytester) -> None:
    result = chaotic.runpytest_inprocess("--cluster-fork-server", "-k", "wrong or unknown")

    result.assert_outcomes(failed=4)
    result.stdout.fnmatch_lines(
        [
            "*OptionError: cluster_chaos: expected a scenario with a yield where *, and no_generator is no generator *",
            "*OptionError: cluster_chaos: expected kinds to be some of kill, *, got *'meteor'*",
            "*OptionError: cluster_chaos: expected kinds to be some of kill, *, got 5",
            "*OptionError: cluster_chaos: expected a generator function as scenario, got 5",
        ]
    )


def test_plan_that_is_none(fakes: pytest.Pytester) -> None:
    result = fakes.runpytest_inprocess("--cluster-chaos=often")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --cluster-chaos: expected a seed, as 42, or with the steps *, not 'often'"])
