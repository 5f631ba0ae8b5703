"""A cluster that is as it was is used again; any other is not.  On the real server."""

from __future__ import annotations

import pytest

HEAD = """
import os
import pytest

def look():
    return 1

@pytest.fixture(autouse=True)
def note(cluster):
    with open("pids", "a") as pids:
        print(cluster.primary.pid, file=pids)
"""


def write_tests(shop: pytest.Pytester, *bodies: str) -> None:
    """One test for each body, in order."""
    tests = [f"def test_{n}(cluster, cluster_client): {body}" for n, body in enumerate(bodies)]
    (shop.path / "test_it.py").write_text("\n".join([HEAD, *tests]))


def pids(shop: pytest.Pytester) -> list[str]:
    """The primary that each test had."""
    return (shop.path / "pids").read_text().split()


def test_used_again(shop: pytest.Pytester) -> None:
    """Requests, calls and messages leave a cluster as it was."""
    bodies = ["cluster_client.get('/')", "cluster.workers[0].run(look)", "cluster.workers[0].send('hello')"]
    write_tests(shop, "pass", *bodies, "pass")

    result = shop.runpytest_inprocess()

    result.assert_outcomes(passed=5)
    assert len(pids(shop)) == 5
    assert len(set(pids(shop))) == 1
    result.stdout.fnmatch_lines(["cluster: 1 started, reused 4 times, *"])


@pytest.mark.timeout(180)
def test_not_used_again(shop: pytest.Pytester) -> None:
    """Something was injected, ended, logged, or left open."""
    bodies = (
        "cluster.workers[0].kill()",
        "cluster.scale(3)",
        "cluster.faults.fail_next()",
        "cluster_client.get('/raise')",
        "cluster.run_in_all(os.write, 2, b'Traceback (most recent call last)')",
        "cluster.primary.run(os.open, '/dev/null', os.O_RDONLY)",
        "cluster.stop()",
        "pass",
    )
    write_tests(shop, *bodies)

    result = shop.runpytest_inprocess()

    result.assert_outcomes(passed=8)
    assert len(set(pids(shop))) == 8
    result.stdout.fnmatch_lines(["cluster: 8 started, reused 0 times, *"])


def test_failed_test_leaves_its_cluster_to_nobody(shop: pytest.Pytester) -> None:
    write_tests(shop, "assert False", "pass")

    result = shop.runpytest_inprocess()

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["cluster: 2 started, reused 0 times, *"])


def test_other_options_are_another_cluster(shop: pytest.Pytester) -> None:
    """One that another lies between is used again: two are kept."""
    markers = ("fresh=True", "workers=1", "settings={'keepalive': 7}", "env={'A': 'b'}")
    tests = [f"@pytest.mark.cluster({marker})\ndef test_{n}(cluster): pass" for n, marker in enumerate(markers)]
    plain = "def test_first(cluster): pass"
    (shop.path / "test_it.py").write_text("\n".join([HEAD, plain, *tests, plain.replace("first", "last")]))

    result = shop.runpytest_inprocess()

    result.assert_outcomes(passed=6)
    first, *others, last = pids(shop)
    assert first == last
    assert len({first, *others}) == 5
    result.stdout.fnmatch_lines(["cluster: 5 started, reused 1 time, *"])


def test_cluster_ends_with_the_last_test_that_can_use_it(shop: pytest.Pytester) -> None:
    """So that it is this test that fails when something is wrong with the end."""
    shop.makepyfile(
        """
        import os, pytest
        seen = []

        def test_first(cluster): seen.append(cluster)

        def test_second(cluster): pass

        @pytest.mark.cluster(workers=1)
        def test_third(cluster):
            assert seen[0].returncode == 0
        """
    )

    shop.runpytest_inprocess().assert_outcomes(passed=3)


def test_hang_at_the_end_of_a_shared_cluster_fails_the_last_test(shop: pytest.Pytester) -> None:
    shop.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.cluster(
            config="def on_exit(server): import time; time.sleep(60)", settings={"graceful_timeout": 1}
        )

        def test_first(cluster): pass

        def test_second(cluster): pass
        """
    )

    result = shop.runpytest_inprocess("--cluster-slow-factor=0.2")

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_second*", "*StopError: the server still ran 3 s after*"])


def test_worker_that_dies_between_two_tests_costs_the_cluster(shop: pytest.Pytester) -> None:
    shop.makepyfile(
        """
        import os, signal
        import pytest

        def test_first(cluster):
            pytest.former = cluster

        @pytest.fixture
        def killed():
            \"\"\"Set up before the cluster is leased again.\"\"\"
            victim = pytest.former.workers[0]
            os.kill(victim.pid, signal.SIGKILL)
            pytest.former.journal.wait_for("exit", worker=victim.id)

        def test_second(killed, cluster):
            assert cluster is not pytest.former
            assert len(cluster.workers) == 2
        """
    )

    shop.runpytest_inprocess().assert_outcomes(passed=2)


def test_descriptors_processes_and_threads_of_pytest_are_given_back(shop: pytest.Pytester) -> None:
    shop.makepyfile(
        """
        import os, threading, pytest

        def held():
            return len(os.listdir("/proc/self/fd")), threading.active_count()

        def test_guard(cluster_factory): cluster_factory().close()

        def test_before(): pytest.before = held()

        @pytest.mark.parametrize("run", range(3))
        @pytest.mark.cluster(workers=1)
        def test_some(cluster, run): cluster.get("/")

        def test_after(): assert held() == pytest.before
        """
    )

    shop.runpytest_inprocess().assert_outcomes(passed=6)
