"""The plugin beside seven others, all of them installed: each does what it does alone."""

from __future__ import annotations

import os
import re
import textwrap
from pathlib import Path

import pytest

FOUR = """
import os

import pytest

@pytest.mark.parametrize("number", range(4))
def test_it(cluster, cluster_client, number):
    assert {cluster_client.get("/").worker for _ in range(2)} == {worker.id for worker in cluster.workers}
"""

COVERAGE = """
[tool.coverage.run]
parallel = true
patch = ["subprocess"]
concurrency = ["gevent", "thread"]
source = ["."]
"""


def test_xdist(shop: pytest.Pytester) -> None:
    """Each of its processes has clusters of its own; the totals come together."""
    shop.makepyfile(FOUR)

    result = shop.runpytest_subprocess("-n2")

    result.assert_outcomes(passed=4)
    result.stdout.re_match_lines([r"cluster: 2 started, reused 2 times, .*, 0 with leaked processes"])


def test_more_processes_than_cores_are_said_so(shop: pytest.Pytester) -> None:
    result = shop.runpytest_subprocess("-n2", "--cluster-workers=1,60")

    result.stdout.fnmatch_lines(
        ["cluster: workers 1,60 (command line), *; 2 processes of xdist with 60 workers each, on * cores"]
    )


def test_xdist_carries_the_report(shop: pytest.Pytester) -> None:
    shop.makepyfile("def test_it(cluster): assert not cluster.workers")

    result = shop.runpytest_subprocess("-n2")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["cause: *", "primary pid * (gw*)*", "*cluster: worker 1 call*"])


def test_xdist_compares(shop: pytest.Pytester) -> None:
    shop.makepyfile(
        """
        import pytest

        @pytest.mark.cluster(fresh=True)
        def test_visits(cluster_client):
            assert [cluster_client.get("/visits").text for _ in range(2)] == ["1", "2"]
        """
    )

    result = shop.runpytest_subprocess("-n2", "--cluster-compare")

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["test_*.py::test_visits: passes with 1 worker, fails with 2"])


@pytest.mark.parametrize("arguments", [("-n2",), ("--dist=load", "--tx=2*popen")])
def test_xdist_and_kept_clusters_exclude_each_other(shop: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    result = shop.runpytest_subprocess(*arguments, "--cluster-keep")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --cluster-keep cannot be used with -n or --dist: *"])


def test_xdist_and_a_problem_at_the_end(shop: pytest.Pytester) -> None:
    """A cluster that one of its processes could not end, after its last test, fails the run."""
    shop.makeconftest(
        """
        import os, pytest
        from pytest_cluster.fixtures import RUN

        @pytest.hookimpl(tryfirst=True)
        def pytest_sessionfinish(session):
            if "PYTEST_XDIST_WORKER" in os.environ:
                run = session.config.stash[RUN]
                run.end_idle = lambda: [TimeoutError("the server still ran")]
        """
    )
    shop.makepyfile("def test_it(): pass")

    result = shop.runpytest_subprocess("-n1")

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*cluster: problems at the end*", "TimeoutError: the server still ran"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_xdist_and_a_hang_at_the_end(shop: pytest.Pytester) -> None:
    """It is the last test's error, as without xdist."""
    shop.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.cluster(
            config="def on_exit(server): import time; time.sleep(60)", settings={"graceful_timeout": 1}
        )

        @pytest.mark.parametrize("name", ["a", "b"])
        def test_it(cluster, name): pass
        """
    )

    result = shop.runpytest_subprocess("-n1", "--cluster-slow-factor=0.2")

    result.assert_outcomes(passed=2, errors=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_process_of_xdist_that_dies(shop: pytest.Pytester) -> None:
    """Its cluster goes with it."""
    shop.makepyfile(
        """
        import os

        def test_dies(cluster):
            with open("session", "w") as file:
                print(cluster.primary.pid, cluster.server.tag, file=file)
            os._exit(1)
        """
    )

    shop.runpytest_subprocess("-n1", "--max-worker-restart=0")

    from pytest_cluster.server.leaks import wait_cluster_empty

    session, tag = (shop.path / "session").read_text().split()
    assert wait_cluster_empty(int(session), tag, 20) == []


def test_coverage_of_workers(shop: pytest.Pytester) -> None:
    """With the recipe of docs/testing.md, what only a worker runs is covered."""
    shop.makepyprojecttoml(COVERAGE)
    shop.makepyfile("def test_it(cluster_client): assert cluster_client.get('/visits').status == 200")

    result = shop.runpytest_subprocess("--cov", "--cov-report=term-missing")

    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*cluster: coverage*")
    (line,) = [line for line in result.outlines if line.startswith("shop.py")]
    assert int(line.split("%")[0].split()[-1]) >= 50, line
    missing = line.partition("%")[2].replace(" ", "").split(",")
    visits = next(
        n for n, text in enumerate((shop.path / "shop.py").read_text().splitlines(), 1) if "visits += 1" in text
    )
    assert str(visits) not in missing


def test_coverage_that_leaves_workers_out_is_explained(shop: pytest.Pytester) -> None:
    shop.makepyfile("def test_it(cluster_client): assert cluster_client.get('/visits').status == 200")

    result = shop.runpytest_subprocess("--cov=shop")

    result.stdout.fnmatch_lines(
        ["*cluster: coverage*", "coverage runs here, but not in the workers, *", 'patch = ["subprocess"]']
    )


def test_coverage_of_killed_workers_is_said_to_be_lost(shop: pytest.Pytester) -> None:
    shop.makepyprojecttoml(COVERAGE)
    shop.makepyfile("def test_it(cluster, cluster_faults): cluster_faults.kill(cluster.workers[0])")

    result = shop.runpytest_subprocess("--cov")

    result.stdout.fnmatch_lines(["cluster: coverage lost what 1 worker(s) had executed that SIGKILL ended"])


@pytest.mark.parametrize("method", ["signal", "thread"])
def test_timeout_leaves_nothing(shop: pytest.Pytester, method: str) -> None:
    """Its alarm raises, or ends pytest with os._exit. A boot beside other work may take longer than that alarm."""
    shop.makepyfile(
        """
        import time
        import pytest

        @pytest.mark.timeout(2, func_only=True)
        def test_it(cluster):
            with open("session", "w") as file:
                print(cluster.primary.pid, cluster.server.tag, file=file)
            time.sleep(60)
        """
    )

    result = shop.runpytest_subprocess(f"--timeout-method={method}")

    assert result.ret != 0
    from pytest_cluster.server.leaks import wait_cluster_empty

    session, tag = (shop.path / "session").read_text().split()
    assert wait_cluster_empty(int(session), tag, 20) == []
    if method == "signal":
        result.stdout.fnmatch_lines(["*cluster: stacks of worker 1*"])


def test_our_waits_end_before_the_alarm(shop: pytest.Pytester) -> None:
    """So that the message says what was waited for."""
    shop.makepyfile(
        """
        import pytest

        @pytest.mark.timeout(6)
        def test_it(cluster):
            with cluster.expect("exit", timeout=60):
                pass
        """
    )

    result = shop.runpytest_subprocess()

    result.stdout.fnmatch_lines(["*WaitTimeout: expected 1 x event exit *"])
    result.stdout.no_fnmatch_line("*Failed: Timeout*")


def test_reruns_get_a_cluster_each(shop: pytest.Pytester) -> None:
    """A test that has failed leaves its cluster to nobody, also not to itself."""
    shop.makepyfile(
        """
        seen = []

        def test_it(cluster):
            seen.append(cluster.primary.pid)
            assert len(seen) == 3
            assert len(set(seen)) == 3
        """
    )

    result = shop.runpytest_subprocess("--reruns=2")

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*2 rerun*"])


def test_rerun_that_passes_keeps_no_cluster(shop: pytest.Pytester) -> None:
    """What an earlier run of the same test did is not this one's."""
    shop.makepyfile(
        """
        seen = []

        def test_it(cluster):
            seen.append(cluster)
            assert len(seen) == 2

        def test_after():
            import shutil

            assert seen[0].returncode is None
            assert seen[1].returncode == 0
            seen[0].stop()
            shutil.rmtree(seen[0].server.folder)
        """
    )

    result = shop.runpytest_subprocess("--reruns=1", "--cluster-keep", "--cluster-workers=1")

    result.assert_outcomes(passed=2)
    assert str(result.stdout).count("; end it with: kill") == 1


def test_asyncio_and_anyio(shop: pytest.Pytester) -> None:
    """Tests of both kinds beside, and with, a cluster."""
    shop.makepyfile(
        """
        import asyncio
        import pytest

        @pytest.mark.asyncio
        async def test_asyncio(cluster, cluster_client):
            answers = [asyncio.wrap_future(cluster_client.submit("/")) for _ in range(4)]
            assert {(await one).worker for one in answers} == {1, 2}

        @pytest.fixture(params=["asyncio", "trio"])
        def anyio_backend(request):
            return request.param

        @pytest.mark.anyio
        async def test_anyio(cluster):
            assert len(cluster.workers) == 2
            assert (await cluster.async_client().get("/")).ok
        """
    )

    shop.runpytest_subprocess("-p", "no:flask").assert_outcomes(passed=3)


def test_django(pytester: pytest.Pytester) -> None:
    """A project with pytest-django, whose settings the workers have as well; the database is on disk."""
    pytester.makepyfile(
        settings="""
        SECRET_KEY = "x"
        DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
        ROOT_URLCONF = "urls"
        ALLOWED_HOSTS = ["*"]
        USE_TZ = True
        """,
        urls="""
        from django.http import HttpResponse
        from django.urls import path

        urlpatterns = [path("", lambda request: HttpResponse("hello"))]
        """,
        wsgi="""
        import os
        from django.core.wsgi import get_wsgi_application

        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
        application = get_wsgi_application()
        """,
    )
    pytester.makeini("[pytest]\nDJANGO_SETTINGS_MODULE = settings\ncluster_app = wsgi:application\npythonpath = .\n")
    pytester.makepyfile(
        """
        import pytest

        def test_client(client):
            assert client.get("/").content == b"hello"

        @pytest.mark.django_db
        def test_cluster(cluster, cluster_client, client):
            assert cluster_client.get("/").text == client.get("/").content.decode() == "hello"

        def test_live_server(live_server, cluster):
            assert live_server.url != cluster.url

        class TestOnACluster:
            @pytest.fixture
            def live_server(self, live_server, cluster, monkeypatch):
                monkeypatch.setattr(type(live_server), "url", cluster.url)
                return live_server

            def test_live_server(self, live_server, cluster):
                assert live_server.url == f"{live_server}" == cluster.url
        """
    )

    pytester.runpytest_subprocess("-p", "no:flask").assert_outcomes(passed=4)


DJANGO_SUITE = """
    import json
    import urllib.request

    import pytest
    from django.contrib.auth.models import User
    from django.core.cache import cache
    from django.test import Client, LiveServerTestCase, TestCase, TransactionTestCase

    class TestInTransactions(TestCase):
        @classmethod
        def setUpTestData(cls):
            cls.user = User.objects.create_user("ada")

        def setUp(self):
            self.before = list(User.objects.values_list("username", flat=True))

        def test_login(self):
            self.client.force_login(self.user)
            self.assertEqual(self.client.get("/").json(), {"you": "ada", "users": 1})

        def test_another(self):
            User.objects.create_user("bob")
            self.assertEqual(self.before, ["ada"])
            self.assertEqual(Client().get("/").json(), {"you": "", "users": 2})

    class TestCommitted(TransactionTestCase):
        def test_visits(self):
            cache.clear()
            self.assertEqual([self.client.get("/visits/").content for _ in range(3)], [b"1", b"2", b"3"])

    class TestLive(LiveServerTestCase):
        def test_live(self):
            User.objects.create_user("ada")
            with urllib.request.urlopen(self.live_server_url) as answer:
                self.assertEqual(json.load(answer)["users"], 1)

    def test_client(client, db):
        assert client.get("/").json() == {"you": "", "users": 0}

    @pytest.mark.django_db
    def test_admin(admin_client):
        assert admin_client.get("/").json() == {"you": "admin", "users": 1}

    @pytest.mark.parametrize(("checks", "status"), [(True, 403), (False, 200)])
    def test_csrf(checks, status):
        assert Client(enforce_csrf_checks=checks).post("/").status_code == status

    def test_live_server(live_server):
        with urllib.request.urlopen(live_server.url) as answer:
            assert json.load(answer)["users"] == 0
    """


def test_django_suite_with_the_conftest_of_the_page(pytester: pytest.Pytester) -> None:
    """Without a change to its tests it passes, but for the one that finds each worker's own cache."""
    page = (Path(__file__).parents[2] / "docs" / "testing-suites.md").read_text()
    conftest = re.search(r'(?ms)^```python title="conftest.py"\n(.*?)^```$', page)
    assert conftest is not None
    pytester.mkpydir("site_")
    (pytester.path / "conftest.py").write_text(conftest[1])
    (pytester.path / "site_" / "settings.py").write_text(
        textwrap.dedent(
            """
            import os

            SECRET_KEY = "the same"
            ROOT_URLCONF = "site_.urls"
            ALLOWED_HOSTS = ["*"]
            INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"]
            MIDDLEWARE = [
                "django.contrib.sessions.middleware.SessionMiddleware",
                "django.middleware.csrf.CsrfViewMiddleware",
                "django.contrib.auth.middleware.AuthenticationMiddleware",
            ]
            DATABASES = {
                "default": {
                    "ENGINE": "django.db.backends.sqlite3",
                    "NAME": os.environ.get("DATABASE_NAME", "db.sqlite3"),
                    "TEST": {"NAME": "test.sqlite3"},
                }
            }
            """
        )
    )
    (pytester.path / "site_" / "urls.py").write_text(
        textwrap.dedent(
            """
            from django.contrib.auth.models import User
            from django.core.cache import cache
            from django.http import HttpResponse, JsonResponse
            from django.urls import path

            def visits(request):
                cache.set("visits", cache.get("visits", 0) + 1)
                return HttpResponse(str(cache.get("visits")))

            def you(request):
                return JsonResponse({"you": request.user.get_username(), "users": User.objects.count()})

            urlpatterns = [path("", you), path("visits/", visits)]
            """
        )
    )
    (pytester.path / "site_" / "wsgi.py").write_text(
        textwrap.dedent(
            """
            import os

            from django.core.wsgi import get_wsgi_application

            os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_.settings")
            application = get_wsgi_application()
            """
        )
    )
    pytester.makepyfile(test_site=DJANGO_SUITE)
    pytester.makeini("[pytest]\nDJANGO_SETTINGS_MODULE = site_.settings\npythonpath = .\n")

    result = pytester.runpytest_subprocess("--cluster-compare", "-p", "no:flask")

    result.assert_outcomes(passed=17, failed=1)
    result.stdout.fnmatch_lines(
        [
            "test_site.py::TestCommitted::test_visits: passes with 1 worker, fails with 2",
            "9 tests compared: 1 passes with 1 worker and fails with more",
        ]
    )
    result.stdout.no_fnmatch_line("*asked in pytest's own process*")
    result.stdout.no_fnmatch_line("*type should be str*")


def test_flask(pytester: pytest.Pytester) -> None:
    """A project with pytest-flask, whose ``app`` and ``client`` stay its own; its app is the cluster's as well."""
    pytester.makepyfile(
        hello="""
        from flask import Flask

        app = Flask(__name__)

        @app.get("/")
        def index():
            return "hello"
        """
    )
    pytester.makeconftest(
        """
        import pytest
        import hello

        @pytest.fixture
        def app():
            return hello.app

        @pytest.fixture(scope="session")
        def cluster_app():
            return hello.app
        """
    )
    pytester.makepyfile(
        """
        def test_client(client):
            assert client.get("/").text == "hello"

        def test_cluster(cluster_client, client):
            assert cluster_client.get("/").text == client.get("/").text == "hello"
        """
    )

    pytester.runpytest_subprocess("-p", "no:django").assert_outcomes(passed=2)


def test_xdist_keeps_every_failure_that_a_report_names(shop: pytest.Pytester) -> None:
    """Only the process that prints the reports removes old ones, by their age."""
    folder = shop.path / ".pytest_cache/d/cluster"
    for number in range(60):
        (folder / f"failure-{number}").mkdir(parents=True)
        os.utime(folder / f"failure-{number}", (number, number))
    shop.makepyfile(FOUR.replace("assert", "assert not"))

    result = shop.runpytest_subprocess("-n2")

    result.assert_outcomes(failed=4)
    named = [line.split("/")[-1] for line in result.outlines if line.startswith("artefacts: ")]
    left = {one.name for one in folder.iterdir()}
    assert len(named) == 4
    assert left == {*named, *(f"failure-{number}" for number in range(14, 60))}
