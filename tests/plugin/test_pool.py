"""A cluster that is as it was is used again; any other is not.  On the real server."""

from __future__ import annotations

import pytest

HEAD = """
import os
from pytest_cluster import ClusterError
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


@pytest.mark.each_kind
def test_used_again(shop: pytest.Pytester) -> None:
    """Requests, calls and messages leave a cluster as it was."""
    bodies = ["cluster_client.get('/')", "cluster.workers[0].run(look)", "cluster.workers[0].send('hello')"]
    write_tests(shop, "pass", *bodies, "pass")

    result = shop.runpytest_inprocess()

    result.assert_outcomes(passed=5)
    assert len(pids(shop)) == 5
    assert len(set(pids(shop))) == 1
    result.stdout.fnmatch_lines(["cluster: 1 started, reused 4 times, *"])


@pytest.mark.slow
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


def test_used_again_after_a_fault_that_was_refused(shop: pytest.Pytester) -> None:
    """Nothing has been injected: there is no such signal, or no such target."""
    refused = "pytest.raises(ClusterError, cluster.faults.{}, {}, {}); assert cluster.faults.injected == 0"
    bodies = [
        refused.format("kill", "cluster.workers[0]", "'SIGNONE'"),
        refused.format("kill", "cluster.primary", "999"),
        refused.format("exit", "cluster.workers[0]", "256"),
        "pytest.raises(ClusterError, cluster.faults.disconnect, cluster.primary); assert cluster.faults.injected == 0",
    ]
    write_tests(shop, *bodies, "pass")

    result = shop.runpytest_inprocess()

    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(["cluster: 1 started, reused 4 times, *"])


@pytest.mark.each_kind
def test_failed_test_leaves_its_cluster_to_nobody(shop: pytest.Pytester) -> None:
    write_tests(shop, "assert False", "pass")

    result = shop.runpytest_inprocess()

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["cluster: 2 started, reused 0 times, *"])


@pytest.mark.slow
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


@pytest.mark.each_kind
def test_hang_at_the_end_of_a_shared_cluster_fails_the_last_test(shop: pytest.Pytester) -> None:
    shop.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.cluster(
            config="def on_exit(server): import time; time.sleep(60)", settings={"graceful_timeout": 1},
            start_timeout=30,
        )

        def test_first(cluster): pass

        def test_second(cluster): pass
        """
    )

    result = shop.runpytest_inprocess("--cluster-slow-factor=0.2")

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_second*", "*StopError: the server still ran 3 s after*"])


def test_other_environment_is_another_cluster(shop: pytest.Pytester) -> None:
    """What a fixture sets before the cluster starts is the server's."""
    shop.makepyfile(
        """
        import os
        import pytest

        @pytest.fixture
        def database(request, monkeypatch):
            monkeypatch.setenv("DATABASE", request.param)

        @pytest.mark.parametrize("database", ["one", "two", "two"], indirect=True)
        def test_it(database, cluster):
            assert cluster.assert_same_everywhere(os.getenv, "DATABASE") == os.environ["DATABASE"]
        """
    )

    result = shop.runpytest_inprocess()

    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["cluster: 2 started, reused 1 time, *"])


OVERRIDE = """
import pytest
seen = []

@pytest.fixture(scope="session")
def cluster_options():
    return {options}

def test_first(cluster): seen.append(cluster)

def test_second(cluster): assert cluster is seen[0]
"""

# What a test says itself is not cut by a slow factor, as the ends are.
BOOTS = {"start_timeout": 30}
HANG = {**BOOTS, "config": "def on_exit(server): import time; time.sleep(60)", "settings": {"graceful_timeout": 1}}


def test_cluster_ends_with_the_last_test_of_its_fixtures(shop: pytest.Pytester) -> None:
    """Modules that override the fixtures have clusters of their own, and none takes the place of the next one's."""
    for name in "abc":
        (shop.path / f"test_{name}.py").write_text(OVERRIDE.format(options={"env": {"NAME": name}}))
    (shop.path / "test_d.py").write_text(
        "import test_a, test_b, test_c\n"
        "def test_it(): assert [one.seen[0].returncode for one in (test_a, test_b, test_c)] == [0, 0, 0]"
    )

    result = shop.runpytest_inprocess("--import-mode=prepend")

    result.assert_outcomes(passed=7)
    result.stdout.fnmatch_lines(["cluster: 3 started, reused 3 times, *"])


def test_hang_at_the_end_of_a_modules_cluster_fails_its_last_test(shop: pytest.Pytester) -> None:
    for name, options in (("a", HANG), ("b", BOOTS), ("c", {**BOOTS, "workers": 1})):
        (shop.path / f"test_{name}.py").write_text(OVERRIDE.format(options=options))

    result = shop.runpytest_inprocess("--cluster-slow-factor=0.2")

    result.assert_outcomes(passed=6, errors=1)
    result.stdout.fnmatch_lines(["ERROR test_a.py::test_second *"])


SEVERAL_ENVIRONMENTS = """
import pytest

pytestmark = pytest.mark.cluster(
    config="def on_exit(server): import os, time; time.sleep(60 if os.environ['NAME'] == 'hang' else 0)",
    settings={"graceful_timeout": 1},
)

@pytest.fixture
def name(request, monkeypatch):
    monkeypatch.setenv("NAME", request.param)
"""


@pytest.mark.slow
def test_cluster_that_has_waited_longest_makes_place(shop: pytest.Pytester) -> None:
    """Which environment a later test will have nobody knows: the clusters wait, until another needs the place."""
    shop.makepyfile(
        SEVERAL_ENVIRONMENTS
        + """
@pytest.mark.parametrize("name", ["a", "b", "c", "c", "b", "a"], indirect=True)
def test_it(name, cluster): pass
"""
    )

    result = shop.runpytest_inprocess()

    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(["cluster: 4 started, reused 2 times, *"])


def test_last_test_ends_every_cluster(shop: pytest.Pytester) -> None:
    """It fails when one does not end, whoever had it."""
    shop.makepyfile(
        SEVERAL_ENVIRONMENTS
        + """
@pytest.mark.parametrize("name", ["hang", "a"], indirect=True)
def test_it(name, cluster): pass
"""
    )

    result = shop.runpytest_inprocess("--cluster-slow-factor=0.2")

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_it?a?*", "*StopError: the server still ran 3 s after*"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_problem_after_a_session_that_did_not_come_to_its_end_is_told(pytester: pytest.Pytester) -> None:
    """Another plugin has failed in its place: there is no report any more."""
    pytester.makeconftest(
        """
        import pytest
        from pytest_cluster.fixtures import RUN

        @pytest.hookimpl(tryfirst=True)
        def pytest_sessionfinish(session):
            session.config.stash[RUN].end_idle = lambda: [TimeoutError("the server still ran")]
            raise RuntimeError("another plugin's")
        """
    )
    pytester.makepyfile("def test_it(): pass")

    result = pytester.runpytest_subprocess()

    assert result.ret != pytest.ExitCode.OK
    result.stderr.fnmatch_lines(["cluster: problem at the end: TimeoutError: the server still ran"])


def test_each_cluster_of_a_factory_that_does_not_end_is_told(shop: pytest.Pytester) -> None:
    shop.makepyfile(
        f"""
        def test_it(cluster_factory):
            for workers in (1, 2):
                cluster_factory(workers=workers, **{HANG!r})
        """
    )

    result = shop.runpytest_inprocess("--cluster-slow-factor=0.2", "-rN")

    result.assert_outcomes(passed=1, errors=1)
    assert str(result.stdout).count("StopError: the server still ran 3 s after") == 2


@pytest.mark.each_kind
@pytest.mark.table(
    quick=[
        "os.kill(cluster.primary.pid, signal.SIGKILL)-1-cluster",
        "cluster.primary.kill()-0-cluster_factory",
        "os.kill(cluster.primary.pid, signal.SIGTERM)-0-cluster",
        "end4-0-cluster_factory",
    ],
    long=["cluster.primary.signal('SIGKILL')-0-cluster_factory", "cluster.primary.kill()-0-cluster"],
)
@pytest.mark.parametrize("fixture", ["cluster", "cluster_factory"])
@pytest.mark.parametrize(
    ("end", "errors"),
    [
        ("os.kill(cluster.primary.pid, signal.SIGKILL)", 1),
        ("cluster.primary.kill()", 0),
        ("cluster.primary.signal('SIGKILL')", 0),
        ("os.kill(cluster.primary.pid, signal.SIGTERM)", 0),
        ("os.kill(cluster.primary.pid, signal.SIGKILL); assert cluster.server.process.wait() == cluster.returncode", 0),
    ],
)
def test_primary_that_ends_by_itself(shop: pytest.Pytester, fixture: str, end: str, errors: int) -> None:
    """It is an error of a test that passes, unless the test did that itself, or saw it, or it ended as it should."""
    shop.makepyfile(
        f"""
        import os, signal

        def test_it({fixture}):
            cluster = {"cluster" if fixture == "cluster" else "cluster_factory()"}
            {end}
            cluster.server.process.wait()

        def test_next({fixture}): pass
        """
    )

    result = shop.runpytest_inprocess("--cluster-workers=1")

    result.assert_outcomes(passed=2, errors=errors)
    if errors:
        result.stdout.fnmatch_lines(["*CrashError: the primary ended by itself during the test: SIGKILL; *"])


@pytest.mark.table(
    quick=[
        "cluster.expect('exit', worker=1)-1-cluster",
        "cluster.messages.expect({'done': 7}, exactly=1)-1-cluster_factory",
        "cluster.expect('exit', none=True).entries-0-cluster_factory",
        "with cluster.expect('message', none=True, timeout=0): pass-0-cluster",
    ]
)
@pytest.mark.parametrize("fixture", ["cluster", "cluster_factory"])
@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ("cluster.expect('exit', worker=1)", 1),
        ("cluster.messages.expect({'done': 7}, exactly=1)", 1),
        ("cluster.expect('exit', none=True).entries", 0),
        ("with cluster.expect('message', none=True, timeout=0): pass", 0),
    ],
)
def test_expectation_that_nobody_checks(shop: pytest.Pytester, fixture: str, body: str, errors: int) -> None:
    """It is an error of a test that passes: without a ``with`` statement it would say nothing."""
    shop.makepyfile(
        f"""
        def test_it({fixture}):
            cluster = {"cluster" if fixture == "cluster" else "cluster_factory()"}
            {body}

        def test_next({fixture}): pass
        """
    )

    result = shop.runpytest_inprocess("--cluster-workers=1")

    result.assert_outcomes(passed=2, errors=errors)
    if errors:
        result.stdout.fnmatch_lines(["*UncheckedExpectation: * was expected and nobody checked whether it came: *"])


@pytest.mark.each_kind
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
