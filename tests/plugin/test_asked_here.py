"""Tests that ask the application in pytest's own process where a cluster was meant: the end of the run says so."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

SITE = """
from flask import Flask

app = Flask(__name__)

@app.get("/")
def root():
    return "welcome"
"""

OLD_SUITE = """
import unittest
import pytest
from site_ import app

class TestOld(unittest.TestCase):
    def setUp(self):
        self.client = app.test_client()

    def test_one(self):
        self.assertEqual(self.client.get("/").text, "welcome")

    def test_two(self):
        self.assertEqual(self.client.get("/").text, "welcome")

def test_asks_nobody(): pass
"""

ON_A_CLUSTER = """
@pytest.fixture(autouse=True)
def on_a_cluster(request, cluster):
    request.instance.cluster = cluster
"""

SECTION = "*cluster: asked in pytest's own process*"


@pytest.fixture
def site(fakes: pytest.Pytester) -> pytest.Pytester:
    fakes.makepyfile(site_=SITE)
    fakes.syspathinsert()
    return fakes


def add_to_conftest(project: pytest.Pytester, text: str) -> None:
    conftest = project.path / "conftest.py"
    conftest.write_text(conftest.read_text() + text)


@pytest.mark.table(quick=["--cluster-workers=1,2"])
@pytest.mark.parametrize("option", ["--cluster-workers=1,2", "--cluster-compare", "-n2"])
def test_test_case_with_a_cluster_that_it_asks_nothing(site: pytest.Pytester, option: str) -> None:
    """Once for all its runs, also from the processes of xdist."""
    add_to_conftest(site, ON_A_CLUSTER.replace("request.instance", "request"))
    site.makepyfile(OLD_SUITE)
    more = ["-p", "xdist"] if option == "-n2" else []

    result = site.runpytest_inprocess(option, *more)

    name = "test_test_case_with_a_cluster_that_it_asks_nothing.py::TestOld::test_"
    assert result.ret == 0
    result.stdout.fnmatch_lines([SECTION])
    (told,) = [line for line in result.outlines if "asked an application" in line]
    assert told.startswith("2 tests asked an application in pytest's own process, and not the cluster of the test: ")
    assert told.endswith("; use cluster.flask_client()")
    assert told.count(f"{name}one") == told.count(f"{name}two") == 1


@pytest.mark.parametrize(
    ("option", "variable", "named"),
    [
        ("--cluster-workers=3", "", "--cluster-workers"),
        ("--cluster-compare", "", "--cluster-compare"),
        ("-q", "PYTEST_CLUSTER_WORKERS", "PYTEST_CLUSTER_WORKERS"),
    ],
)
def test_suite_without_any_cluster(
    site: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, option: str, variable: str, named: str
) -> None:
    """Nothing of the plugin is used, and a number of workers was asked for."""
    if variable:
        monkeypatch.setenv(variable, "3")
    site.makepyfile(OLD_SUITE)

    result = site.runpytest_inprocess(option)

    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines([f"2 tests asked an application in *, so {named} does not reach them: *"])


def test_module_of_somebody_with_the_name_of_a_framework(
    fakes: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It brings no test client, and none that could be imported."""
    monkeypatch.setitem(sys.modules, "flask", ModuleType("flask"))
    monkeypatch.setitem(sys.modules, "werkzeug.test", None)  # type: ignore[arg-type]
    fakes.makepyfile("def test_it(cluster): pass")

    fakes.runpytest_inprocess("--cluster-workers=2").assert_outcomes(passed=1)


@pytest.mark.slow
def test_client_that_a_tests_body_imports(fakes: pytest.Pytester) -> None:
    """The first of the run, in whichever way it is imported; the module is loaded as ever."""
    fakes.makepyfile(site_=SITE)
    fakes.makepyfile(
        """
        import sys

        def test_it(cluster):
            assert "werkzeug.test" not in sys.modules
            from site_ import app
            assert app.test_client().get("/").text == "welcome"
            loaders = sys.modules["werkzeug.test"].__loader__, sys.modules["werkzeug.test"].__spec__.loader
            assert {type(one).__name__ for one in loaders} == {"SourceFileLoader"}
        """
    )

    result = fakes.runpytest_subprocess()

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["1 test asked an application in pytest's own process, and not the cluster of the test: *::test_it; use *"]
    )


def test_nothing_is_said_where_nobody_asked_for_clusters(site: pytest.Pytester) -> None:
    """Tests in one process beside those on clusters are what people have."""
    site.makepyfile(OLD_SUITE + "\ndef test_beside(cluster): pass\n")

    result = site.runpytest_inprocess()

    result.assert_outcomes(passed=4)
    result.stdout.no_fnmatch_line(SECTION)


def test_only_the_application_of_the_clusters_counts(site: pytest.Pytester) -> None:
    """Where it is known; a test's own little application is none that anybody has meant."""
    site.makepyfile(OLD_SUITE)

    assert "asked an application" in str(
        site.runpytest_inprocess("--cluster-workers=3", "--cluster-app=site_:app").stdout
    )
    other = site.runpytest_inprocess("--cluster-workers=3", "--cluster-app=shop:app")
    other.assert_outcomes(passed=3)
    other.stdout.no_fnmatch_line(SECTION)


DJANGO = """
import django
from django.conf import settings

settings.configure(ROOT_URLCONF="urls", ALLOWED_HOSTS=["*"])
django.setup()
"""


def test_django(fakes: pytest.Pytester) -> None:
    fakes.makepyfile(urls="urlpatterns = []")
    add_to_conftest(fakes, DJANGO)
    fakes.makepyfile(
        """
        from django.test import AsyncClient, Client, SimpleTestCase

        class TestIt(SimpleTestCase):
            def test_client(self):
                assert self.client.get("/").status_code == 404

            async def test_async_client(self):
                assert (await self.async_client.get("/")).status_code == 404
        """
    )

    result = fakes.runpytest_subprocess("--cluster-workers=3")

    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["2 tests asked an application *; use cluster.django_async_client() or cluster.django_client()"]
    )


def test_clients_of_a_cluster_are_not_meant(shop: pytest.Pytester) -> None:
    """Nor is a test that asks its cluster as well, or calls a worker of it; and clients are left as they were."""
    (shop.path / "site_.py").write_text(SITE)
    shop.makepyfile(
        """
        import os
        import urllib.request
        import werkzeug.test
        from site_ import app

        def test_flask_client(cluster):
            assert cluster.flask_client(app).get("/").text == "welcome"

        def test_werkzeug(cluster):
            assert werkzeug.test.Client(cluster.wsgi_app).get("/").text == "welcome"

        def test_both(cluster):
            assert app.test_client().get("/").text == "welcome"
            assert urllib.request.urlopen(cluster.url).read() == b"welcome"

        def test_call(cluster):
            assert app.test_client().get("/").text == "welcome"
            cluster.workers[0].run(os.getpid)

        def test_own(cluster_factory):
            with cluster_factory(workers=1) as cluster:
                cluster.get("/")
            assert app.test_client().get("/").text == "welcome"
        """
    )
    before = method_of_clients()

    result = shop.runpytest_inprocess("--cluster-workers=2")

    result.assert_outcomes(passed=5)
    result.stdout.no_fnmatch_line(SECTION)
    assert method_of_clients() is before


def method_of_clients() -> Any:
    import werkzeug.test

    return werkzeug.test.Client.run_wsgi_app
