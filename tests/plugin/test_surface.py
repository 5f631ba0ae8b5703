"""Every option on the command line, in the environment and in an ini file; what stands above what; what is refused."""

from __future__ import annotations

import os
import re
import shutil
import signal

import pytest

from pytest_cluster.options.checks import cores
from pytest_cluster.options.settings import SETTINGS, Setting
from pytest_cluster.server.leaks import cluster_members
from pytest_cluster.waiting import poll

# One value for each setting, and what a test sees of it.  That one keeps is seen after it, below; a URL in test_others.
VALUES = {
    "workers": ("3", "options.workers == 3"),
    "app": ("ready2", "options.app == 'ready2'"),
    "policy": ("none", "options.environment['NODE_CLUSTER_SCHED_POLICY'] == 'none'"),
    "start_timeout": ("7", "options.start_timeout == 7"),
    "slow_factor": ("3", "waiting.scaled(2) == 6"),
    "compare": ("true", "options.workers in (1, 2)"),
    "fork_server": ("true", "options.fork_server"),
    "fork_app": ("true", "options.fork_app"),
    "url": ("http://127.0.0.1:9", "options"),
    "redis_url": ("redis://127.0.0.1:9", "options"),
    "postgresql_url": ("postgresql://test@127.0.0.1:9/test", "options"),
    "chaos": ("42:1,3", "options"),
    "html": ("page.html", "options"),
    "artifacts": ("kept", "options"),
    "keep": ("true", "options"),
}


def test_every_setting_has_a_value_here() -> None:
    assert [setting.name for setting in SETTINGS] == list(VALUES)


def write_test(fakes: pytest.Pytester, check: str) -> None:
    fakes.makepyfile(
        f"""
        from pytest_cluster import waiting

        def test_it(cluster):
            options = cluster.options
            assert {check}
        """
    )


@pytest.mark.table(
    quick=[
        "command line-workers",
        "environment-app",
        "ini-policy",
        "command line-start_timeout",
        "environment-slow_factor",
        "ini-compare",
        "command line-fork_server",
        "environment-keep",
    ]
)
@pytest.mark.parametrize("name", [name for name in VALUES if name != "url"])
@pytest.mark.parametrize("where", ["command line", "environment", "ini"])
def test_setting(fakes: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, name: str, where: str) -> None:
    """Each setting works in each place, and the header says where it comes from."""
    setting = next(one for one in SETTINGS if one.name == name)
    write_test(fakes, VALUES[name][1])
    if where == "ini":
        leave_to_ini(fakes, name)

    # A server that this process forked would have the gunicorn that other tests have imported here, not the fake one.
    run = fakes.runpytest_subprocess if name == "fork_app" else fakes.runpytest_inprocess
    result = run(*put(fakes, monkeypatch, setting, where))

    result.assert_outcomes(passed=2 if name == "compare" else 1)
    source = setting.variable if where == "environment" else where
    result.stdout.fnmatch_lines([f"cluster: *{setting.name.replace('_', '-')} * ({source})*"])


def put(fakes: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, setting: Setting, where: str) -> list[str]:
    """Put a setting's value in its place; return the arguments for pytest."""
    value, _ = VALUES[setting.name]
    if where == "command line":
        return [setting.option] if setting.metavar is None else [f"{setting.option}={value}"]
    if where == "environment":
        monkeypatch.setenv(setting.variable, value)
    else:
        fakes.makeini(f"[pytest]\n{setting.ini} = {value}\n")
    return []


def leave_to_ini(fakes: pytest.Pytester, name: str) -> None:
    """Take a keyword out of what the project's fixture says, which is stronger than an ini file."""
    conftest = fakes.path / "conftest.py"
    conftest.write_text(f"{conftest.read_text()}\nTAKEN = {name!r}\n")


@pytest.mark.slow
@pytest.mark.table(quick=["environment"])
@pytest.mark.parametrize("where", ["command line", "environment", "ini"])
def test_setting_that_keeps(shop: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """It works in each place: the cluster of a failed test is still there."""
    shop.makepyfile(
        """
        import pytest

        @pytest.mark.cluster(app="shop:app", workers=1)
        def test_it(cluster): assert False
        """
    )
    keep = next(one for one in SETTINGS if one.name == "keep")

    result = shop.runpytest_subprocess(*put(shop, monkeypatch, keep, where))

    found = re.search(r"end it with: kill (\d+) && rm -r (\S+)", str(result.stdout))
    assert found
    os.kill(int(found[1]), signal.SIGTERM)
    assert poll(lambda: not cluster_members(int(found[1]), None), 20)
    shutil.rmtree(found[2])


@pytest.mark.slow
def test_cluster_that_cannot_be_kept_is_ended(shop: pytest.Pytester) -> None:
    """A class of gunicorn's own has nobody who could be told."""
    shop.makepyfile(
        """
        import pytest
        seen = []

        @pytest.mark.cluster(worker_class="gevent")
        def test_it(cluster):
            seen.append(cluster)
            assert False

        def test_after():
            assert seen[0].returncode is not None
        """
    )

    result = shop.runpytest_inprocess("--cluster-keep")

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*::test_it: could not be kept and was ended: *"])


def test_fixture_taken_in_the_middle_of_a_test(fakes: pytest.Pytester) -> None:
    """It has the report and the time limit of one that is an argument."""
    fakes.makepyfile(
        """
        import pytest

        @pytest.mark.timeout(2)
        def test_it(request):
            cluster = request.getfixturevalue("cluster")
            cluster.wait_for(lambda _: False, reason="what never comes")
        """
    )

    result = fakes.runpytest_inprocess()

    result.stdout.fnmatch_lines(["*WaitTimeout: expected what never comes within *", "cause: *", "primary pid *"])


def test_precedence(fakes: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Marker > command line > environment > fixture > ini; each is stronger than all that follow."""
    fakes.makeini("[pytest]\ncluster_workers = 3\n")
    fakes.makepyfile(
        test_overridden="""
        import pytest

        @pytest.fixture(scope="session")
        def cluster_options(cluster_options):
            return {**cluster_options, "workers": 5}

        def test_count(cluster):
            print("overridden:", len(cluster.workers))
        """
    )
    fakes.makepyfile(
        """
        import os, pytest

        def test_count(cluster):
            print("workers:", len(cluster.workers))

        @pytest.mark.cluster(workers=1)
        def test_marker(cluster):
            assert len(cluster.workers) == 1
        """
    )

    fakes.runpytest("-s").stdout.fnmatch_lines(["cluster: workers 3 (ini)", "*overridden: 5*", "*workers: 3*"])
    monkeypatch.setenv("PYTEST_CLUSTER_WORKERS", "4")
    fakes.runpytest("-s").stdout.fnmatch_lines(
        ["cluster: workers 4 (PYTEST_CLUSTER_WORKERS)", "*overridden: 4*", "*workers: 4*"]
    )
    result = fakes.runpytest("-s", "--cluster-workers=2")
    result.stdout.fnmatch_lines(["cluster: workers 2 (command line)", "*overridden: 2*", "*workers: 2*"])
    result.assert_outcomes(passed=3)


def test_applications_fixture_of_a_module_is_stronger_than_the_ini_file(fakes: pytest.Pytester) -> None:
    fakes.makeini("[pytest]\ncluster_app = ready\n")
    leave_to_ini(fakes, "app")
    fakes.makepyfile(
        """
        import pytest

        @pytest.fixture(scope="session")
        def cluster_app():
            return "ready2"

        def test_it(cluster):
            assert cluster.options.app == "ready2"
        """
    )

    fakes.runpytest().assert_outcomes(passed=1)
    fakes.runpytest("--cluster-app=ready").assert_outcomes(failed=1)


def test_list_runs_each_test_with_each_number(fakes: pytest.Pytester) -> None:
    fakes.makepyfile(
        """
        import pytest

        def test_it(cluster):
            assert len(cluster.workers) in (1, 3)

        def test_without(): pass

        @pytest.mark.cluster(workers=2)
        def test_marked(cluster):
            assert len(cluster.workers) == 2

        @pytest.mark.parametrize("n", [pytest.param(2, marks=pytest.mark.cluster(workers=2))])
        def test_marked_parameter(cluster, cluster_workers, n):
            assert len(cluster.workers) == cluster_workers == 2
        """
    )

    result = fakes.runpytest("--cluster-workers=1,3", "-v")

    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(
        ["*::test_it[[]workers=1] PASSED*", "*::test_it[[]workers=3] PASSED*", "*::test_without *", "*::test_marked *"]
    )


def test_auto_is_as_many_as_there_are_cores(fakes: pytest.Pytester) -> None:
    write_test(fakes, f"options.workers == {max(2, cores())}")

    fakes.runpytest("--cluster-workers=auto").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--cluster-workers=1,x", "--cluster-workers: expected a number of workers, 1 or more, not '1,x'*"),
        ("--cluster-policy=random", "--cluster-policy: expected 'rr' or 'none', or one of *, not 'random'"),
        ("--cluster-start-timeout=0", "--cluster-start-timeout: expected a number above 0, not '0'"),
        (
            "--cluster-workers=2,100000",
            "--cluster-workers: 100000 workers are too many for this machine: with * cores at most *",
        ),
        ("--cluster-slow-factor=fast", "--cluster-slow-factor: expected a number above 0, not 'fast'"),
    ],
)
def test_impossible_value_is_a_usage_error(pytester: pytest.Pytester, argument: str, sentence: str) -> None:
    result = pytester.runpytest(argument)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {sentence}"])


def test_variable_that_is_none_of_ours(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pytest itself refuses an option that is misspelt, and warns of an ini value."""
    monkeypatch.setenv("PYTEST_CLUSTER_TAG", "of the cluster around this run")
    monkeypatch.setenv("PYTEST_CLUSTER_WOKERS", "1,3")

    result = pytester.runpytest_inprocess()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: PYTEST_CLUSTER_WOKERS: expected variables of settings, which are PYTEST_CLUSTER_WORKERS, *"]
    )


def test_impossible_ini_value_says_where_it_stands(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ncluster_compare = perhaps\n")

    result = pytester.runpytest()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: cluster_compare: expected true or false, not 'perhaps'"])


def test_marker_without_a_fixture_is_a_usage_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.cluster(workers=2)
        def test_it(): pass
        """
    )

    result = pytester.runpytest()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: *::test_it: @pytest.mark.cluster starts nothing by itself, and the test uses none of its fixtures: *"]
    )


def test_marker_of_a_module_is_for_the_tests_that_use_a_cluster(fakes: pytest.Pytester) -> None:
    fakes.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.cluster(workers=1)

        def test_with(cluster): assert len(cluster.workers) == 1

        def test_without(): pass
        """
    )

    fakes.runpytest().assert_outcomes(passed=2)


def test_more_workers_than_the_machine_can_have(fakes: pytest.Pytester) -> None:
    fakes.makepyfile("def test_it(cluster_factory): cluster_factory(workers=100000)")

    result = fakes.runpytest()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*100000 workers are too many for this machine: with * cores at most *"])
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("script='missing.py'", "cluster: script 'missing.py' does not exist (looked for *)"),
        ("cwd='missing'", "cluster: cwd 'missing' is no folder (looked for *)"),
    ],
)
def test_path_that_is_not_there(pytester: pytest.Pytester, arguments: str, sentence: str) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.cluster({arguments})
        def test_it(cluster): pass
        """
    )

    result = pytester.runpytest("--cluster-app=any:app")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([sentence])
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.slow
def test_long_path_of_temporary_files(fakes: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of a unix socket may have 107 bytes: a cluster's folder is elsewhere then."""
    monkeypatch.setenv("TMPDIR", str(fakes.mkdir("x" * 100)))
    fakes.makepyfile("def test_it(cluster): assert len(cluster.server.folder) < 90")

    fakes.runpytest_subprocess().assert_outcomes(passed=1)


def test_no_place_for_the_clusters_folder_is_one_sentence(fakes: pytest.Pytester) -> None:
    fakes.makepyfile(
        """
        import pytest

        @pytest.fixture
        def full(monkeypatch):
            def no_space(**_):
                raise OSError(28, "No space left on device", "/tmp/pc-0")
            monkeypatch.setattr("tempfile.mkdtemp", no_space)

        def test_it(full, cluster): pass
        """
    )

    result = fakes.runpytest()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the cluster's folder cannot be made: *No space left on device*; TMPDIR says *"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_gunicorn_out_of_range_is_one_sentence(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    found = pytester.mkdir("site") / "gunicorn-20.0.4.dist-info"
    found.mkdir()
    (found / "METADATA").write_text("Metadata-Version: 2.1\nName: gunicorn\nVersion: 20.0.4\n")
    pytester.makepyfile("def test_it(cluster): pass")
    monkeypatch.setenv("PYTHONPATH", str(found.parent), prepend=os.pathsep)

    result = pytester.runpytest_subprocess("--cluster-app=any:app")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["cluster: gunicorn 20.0.4 is installed, nodecluster-compat needs *: pip install *"])


@pytest.mark.parametrize(
    ("app", "sentence"),
    [
        ("lambda environ, start_response: []", "*is no global of a module, so a server, which is another process, *"),
        ("42", "cluster_app: expected 'module:name' or a WSGI callable, got 42"),
    ],
)
def test_application_that_a_server_cannot_import(pytester: pytest.Pytester, app: str, sentence: str) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.fixture(scope="session")
        def cluster_app():
            return {app}

        def test_it(cluster): pass
        """
    )

    result = pytester.runpytest()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([sentence])


@pytest.mark.slow
def test_application_object_is_found_by_its_global_name(shop: pytest.Pytester) -> None:
    """In a package of a folder that only the test knows how to import from."""
    package = shop.mkdir("src") / "mall"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (shop.path / "shop.py").rename(package / "shop.py")
    shop.makeini("[pytest]\npythonpath = src\n")
    shop.makepyfile(
        """
        import pytest
        from mall.shop import app

        @pytest.fixture(scope="session")
        def cluster_app():
            return app

        def test_it(cluster):
            assert cluster.get("/").text == "welcome"
        """
    )

    shop.runpytest_subprocess().assert_outcomes(passed=1)


def test_pythonpath_of_pytest_is_the_servers(shop: pytest.Pytester) -> None:
    """What the test's process imports by pytest's own setting, the workers import as well."""
    (shop.path / "shop.py").rename(shop.mkdir("src") / "shop.py")
    shop.makeini("[pytest]\npythonpath = src\ncluster_app = shop:app\ncluster_workers = 1\n")
    shop.makepyfile("def test_it(cluster): assert cluster.get('/').text == 'welcome'")

    shop.runpytest_inprocess().assert_outcomes(passed=1)


@pytest.mark.slow
def test_nothing_but_the_documented_surface(pytester: pytest.Pytester) -> None:
    """Nothing without the prefix, nothing automatic."""
    pytester.makepyfile("def test_it(request): print(sorted(request.fixturenames))")

    result = pytester.runpytest_inprocess("-s", "--fixtures", "-q")
    ours = [line for line in result.outlines if "pytest_cluster/fixtures.py" in line]

    assert ours
    assert all(line.startswith("cluster") for line in ours)
    pytester.runpytest_inprocess("-s").stdout.fnmatch_lines(["*['request']*"])
    names = [line for line in pytester.runpytest_inprocess("--help").outlines if "--cluster" in line]
    assert len(names) == len(SETTINGS)


def test_options_that_are_no_mapping(fakes: pytest.Pytester) -> None:
    fakes.makepyfile(
        """
        import pytest

        @pytest.fixture(scope="session")
        def cluster_options():
            return ["workers"]

        def test_it(cluster): pass
        """
    )

    result = fakes.runpytest_inprocess()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["cluster_options: expected a mapping of the marker's keywords, as *: the fixture *"])
