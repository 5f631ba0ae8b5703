"""Suites that people have: unittest, Django's test cases, doctests, pytest-bdd, getfixturevalue.

Each runs with each number of workers or says why not, uses a cluster again, and honours a marker.
"""

from __future__ import annotations

import pytest

UNITTEST = """
import unittest
import pytest

class Base:
    @pytest.fixture(autouse=True)
    def _take(self, cluster):
        self.cluster = cluster

class TestPlain(Base, unittest.TestCase):
    def test_one(self):
        self.assertLessEqual(len(self.cluster.workers), LIMIT)

    def test_two(self):
        self.assertEqual(len(self.cluster.workers), self.cluster.options.workers)

    @pytest.mark.cluster(workers=4)
    def test_marked(self):
        self.assertIn(len(self.cluster.workers), (1, 4))

class TestWithout(unittest.TestCase):
    def test_without(self): pass
"""


def test_unittest_with_each_number(fakes: pytest.Pytester) -> None:
    """Of one number its tests share a cluster; one that uses none runs once, one that is marked with its own number."""
    fakes.makepyfile(UNITTEST.replace("LIMIT", "2"))

    result = fakes.runpytest_inprocess("--cluster-workers=1,3", "-v")

    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines_random(
        [
            "*::TestPlain::test_one?workers=1? PASSED*",
            "*::TestPlain::test_one?workers=3? FAILED*",
            "*::TestPlain::test_two?workers=3? PASSED*",
            "*::TestPlain::test_marked PASSED*",
            "*::TestWithout::test_without PASSED*",
            "cluster: with 1 worker: 2 passed; with 3 workers: 1 passed, 1 failed",
            "cluster: 4 started, reused 1 time, *",
        ]
    )


def test_unittest_is_compared(fakes: pytest.Pytester) -> None:
    fakes.makepyfile(UNITTEST.replace("LIMIT", "1"))

    result = fakes.runpytest_inprocess("--cluster-compare", "-v")

    result.stdout.fnmatch_lines(
        [
            "*::TestPlain::test_one: passes with 1 worker, fails with 2",
            "3 tests compared: 1 passes with 1 worker and fails with more",
        ]
    )


@pytest.mark.parametrize("wanted", ["test_one[workers=3]", "test_one"])
def test_run_of_a_unittest_is_chosen_by_its_name(fakes: pytest.Pytester, wanted: str) -> None:
    path = fakes.makepyfile(UNITTEST.replace("LIMIT", "3"))

    result = fakes.runpytest_inprocess(f"{path.name}::TestPlain::{wanted}", "--cluster-workers=1,3")

    result.assert_outcomes(passed=1 if "[" in wanted else 2)


def test_unittest_in_every_shape(fakes: pytest.Pytester) -> None:
    """Subtests, ``async`` tests, set-up of the class, ``usefixtures``, ``getfixturevalue``, skips."""
    fakes.makepyfile(
        """
        import unittest
        import pytest

        @pytest.mark.usefixtures("cluster")
        class TestSub(unittest.TestCase):
            @classmethod
            def setUpClass(cls): cls.ready = True

            def setUp(self): self.own = True

            def test_it(self):
                with self.subTest("one"):
                    assert self.ready and self.own

            @unittest.skip("not now")
            def test_skipped(self): pass

            @unittest.expectedFailure
            def test_expected(self): assert False

        class TestAsync(unittest.IsolatedAsyncioTestCase):
            @pytest.fixture(autouse=True)
            def _take(self, request):
                self.request = request

            async def test_it(self):
                cluster = self.request.getfixturevalue("cluster")
                assert len(cluster.workers) == cluster.options.workers
        """
    )

    result = fakes.runpytest_inprocess("--cluster-workers=1,2")

    result.assert_outcomes(passed=4, skipped=2, xfailed=2)
    result.stdout.fnmatch_lines(["cluster: with 1 worker: * passed; with 2 workers: * passed", "cluster: 2 started, *"])


DJANGO = """
import django
from django.conf import settings

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    STATIC_URL="/static/",
    ROOT_URLCONF="urls",
)
django.setup()
"""


@pytest.mark.slow
def test_django_test_cases_with_each_number(fakes: pytest.Pytester) -> None:
    """A live server's URL can be the cluster's: the conftest says so, no test."""
    conftest = fakes.path / "conftest.py"
    conftest.write_text(
        DJANGO
        + conftest.read_text()
        + """
@pytest.fixture(autouse=True)
def on_a_cluster(request, cluster, monkeypatch):
    if hasattr(request.cls, "live_server_url"):
        monkeypatch.setattr(request.cls, "live_server_url", cluster.url)
    request.cls.workers = len(cluster.workers)
"""
    )
    fakes.makepyfile(urls="urlpatterns = []")
    fakes.makepyfile(
        """
        from django.db import connection
        from django.test import LiveServerTestCase, SimpleTestCase, TestCase, TransactionTestCase

        class TestSimple(SimpleTestCase):
            def test_it(self): assert self.workers == 1

        class TestTransaction(TestCase):
            def test_it(self): assert connection.in_atomic_block

        class TestNone(TransactionTestCase):
            def test_it(self): assert not connection.in_atomic_block

        class TestLive(LiveServerTestCase):
            def test_it(self): assert self.live_server_url.startswith("http://127.0.0.1:")
        """
    )

    result = fakes.runpytest_inprocess("--cluster-compare")

    result.assert_outcomes(passed=7, failed=1)
    result.stdout.fnmatch_lines(["*::TestSimple::test_it: passes with 1 worker, fails with 2", "4 tests compared: *"])


def test_doctests_with_each_number(fakes: pytest.Pytester) -> None:
    """In a module, with the module's marker, and in a text; twice, though doctest clears its names after a run."""
    fakes.makepyfile(
        module='''
        """
        >>> len(getfixture("cluster").workers) <= LIMIT
        True
        """
        import pytest

        LIMIT = 1

        def marked():
            """
            >>> 1 + 1
            2
            """
        '''
    )
    fakes.maketxtfile(test_text=">>> getfixture('cluster').options.app\n'ready'")

    result = fakes.runpytest_inprocess("--doctest-modules", "--cluster-compare", "module.py", "test_text.txt")

    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(
        ["module.py::module: passes with 1 worker, fails with 2", "2 tests compared: 1 passes with 1 worker *"]
    )


def test_marker_of_a_module_is_that_of_its_doctests(fakes: pytest.Pytester) -> None:
    fakes.makepyfile(
        module='''
        """
        >>> len(getfixture("cluster").workers)
        3
        """
        import pytest

        pytestmark = pytest.mark.cluster(workers=3)
        '''
    )

    result = fakes.runpytest_inprocess("--doctest-modules", "module.py")

    result.assert_outcomes(passed=1)


FEATURE = """
Feature: shop
    Scenario: visit
        Given a shop
        Then somebody answers

    @cluster
    Scenario: nobody comes
        Given nothing

    Scenario Outline: several
        Given a shop
        Then <count> answer

        Examples:
        | count |
        | 2     |
        | 1     |
"""

STEPS = """
import pytest
from pytest_bdd import given, parsers, scenario, scenarios, then

@pytest.mark.cluster(workers=3)
@scenario("shop.feature", "visit")
def test_marked(): pass

scenarios("shop.feature")

@given("a shop", target_fixture="shop")
def _(cluster):
    return cluster

@given("nothing")
def _(): pass

@then("somebody answers")
def _(shop):
    assert len(shop.workers) in (1, 3)

@then(parsers.parse("{count:d} answer"))
def _(shop, count):
    assert len(shop.workers) == count
"""


@pytest.mark.slow
def test_bdd(fakes: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes the cluster while its scenario runs, which the marker, the numbers and reuse know all the same."""
    pytest.importorskip("pytest_bdd")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p cluster -p pytest_bdd.plugin")
    (fakes.path / "shop.feature").write_text(FEATURE)
    (fakes.path / "test_bdd.py").write_text(STEPS)

    plain = fakes.runpytest_inprocess()
    compared = fakes.runpytest_inprocess("--cluster-compare", "-v")

    plain.assert_outcomes(passed=3, failed=1)
    plain.stdout.fnmatch_lines(["cluster: 2 started, reused 1 time, *"])
    compared.assert_outcomes(passed=5, failed=2)
    compared.stdout.fnmatch_lines(["*test_several?1?: passes with 1 worker, fails with 2", "3 tests compared: *"])


ASKING = """
import pytest

@pytest.fixture
def site(request):
    return request.getfixturevalue(NAME)

@pytest.fixture
def elsewhere(request):
    return request.getfixturevalue("site")

def test_fixture(site): assert site

def test_fixture_of_a_fixture(elsewhere): assert elsewhere

def test_itself(request): assert request.getfixturevalue(NAME)

def test_argument(cluster): assert cluster

def test_last(site): assert site
"""


@pytest.mark.table(quick=["'cluster'"])
@pytest.mark.parametrize("name", ["'cluster'", "'cluster_client'"])
def test_getfixturevalue(fakes: pytest.Pytester, name: str) -> None:
    """However a test asks, it gets what another has left, and runs with each number."""
    fakes.makepyfile(ASKING.replace("NAME", name))

    once = fakes.runpytest_inprocess()
    twice = fakes.runpytest_inprocess("--cluster-workers=1,2")

    once.assert_outcomes(passed=5)
    once.stdout.fnmatch_lines(["cluster: 1 started, reused 4 times, *"])
    twice.assert_outcomes(passed=10)
    twice.stdout.fnmatch_lines(["cluster: with 1 worker: 5 passed; with 2 workers: 5 passed"])


def test_name_that_is_made_at_run_time(fakes: pytest.Pytester) -> None:
    """It is in no code: after the first test the others are expected to ask as well, and the end says who ran once."""
    fakes.makepyfile(ASKING.replace("NAME", "'clus' + str('ter')"))

    once = fakes.runpytest_inprocess()
    twice = fakes.runpytest_inprocess("--cluster-workers=1,2")

    once.assert_outcomes(passed=5)
    once.stdout.fnmatch_lines(["cluster: 1 started, reused 4 times, *"])
    twice.assert_outcomes(passed=6)
    twice.stdout.fnmatch_lines(
        ["*cluster: not with each number of workers*", "*::test_fixture ran once only: *take cluster as an argument *"]
    )


def test_cluster_of_a_name_made_at_run_time_ends_with_the_last_that_asks_so(fakes: pytest.Pytester) -> None:
    fakes.makepyfile(
        """
        import pytest
        seen = []

        @pytest.fixture
        def site(request):
            seen.append(request.getfixturevalue("".join(["clus", "ter"])))

        def test_one(site): pass

        def test_two(site): pass

        def test_other(tmp_path):
            assert len(set(seen)) == 1
            assert seen[0].is_closed
        """
    )

    fakes.runpytest_inprocess().assert_outcomes(passed=3)


HELPED = """
import unittest
import pytest

NAME = "cluster_client"

def helper(request): return further(request)
def further(request): return request.getfixturevalue(NAME)
def endless(request): return endless(request)

def test_by_a_helper(request): assert helper(request)
def test_of_the_language(request): return endless if 0 else helper(request)

class TestInSetUp(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _take(self, request): self.request = request
    def setUp(self): self.client = self.take()
    def take(self): return self.request.getfixturevalue("cluster")
    def test_it(self): assert self.client

class TestByAMethod:
    def take(self, request): return request.getfixturevalue("cluster")
    def test_it(self, request): assert self.take(request)

def test_that_needs_none(request): assert request.node.name
"""


def test_cluster_that_a_helper_asks_for_is_known_before(fakes: pytest.Pytester) -> None:
    """By a function of the module, by a method, in ``setUp``: each runs with each number of workers."""
    fakes.makepyfile(HELPED)

    result = fakes.runpytest_inprocess("--cluster-workers=1,2", "--collect-only", "-q")

    listed = [line.rpartition("::")[2] for line in result.outlines if "::" in line]
    tests = ["test_by_a_helper", "test_of_the_language", "test_it", "test_it"]
    assert listed == [*(f"{name}[workers={count}]" for name in tests for count in (1, 2)), "test_that_needs_none"]


def test_subtest_that_fails_is_a_test_that_fails(fakes: pytest.Pytester) -> None:
    """pytest says of a ``TestCase`` that it passed after that; each report has what the cluster says once."""
    fakes.makepyfile(
        """
        import unittest
        import pytest

        class TestIt(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def _take(self, cluster): self.workers = len(cluster.workers)

            def test_case(self):
                for most in (1, 1, 5):
                    with self.subTest(most=most):
                        self.assertLessEqual(self.workers, most)

        def test_fixture(cluster, subtests):
            with subtests.test():
                assert len(cluster.workers) == 1
        """
    )

    result = fakes.runpytest_inprocess("--cluster-compare", "-k", "not nothing")

    result.stdout.fnmatch_lines(
        [
            "*::TestIt::test_case: passes with 1 worker, fails with 2",
            "*::test_fixture: passes with 1 worker, fails with 2",
            "2 tests compared: 2 pass with 1 worker and fail with more",
        ]
    )
    assert str(result.stdout).count("\ncause: ") == 4  # two of the case, one of the subtest and one of its test


MARKED = """
import unittest
import pytest

pytestmark = pytest.mark.cluster(workers=5, env={"A": "module"})

@pytest.fixture
def count(cluster): return len(cluster.workers)

@pytest.mark.cluster(workers=4)
class Base:
    def test_inherited(self, count): assert count == self.expected

class TestInherits(Base):
    expected = 4

@pytest.mark.cluster(workers=3)
class TestNearer(Base):
    expected = 3

@pytest.mark.cluster(workers=3)
class TestCase(Base, unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _take(self, count): self.count = count

    test_inherited = None

    def test_nearer(self): assert self.count == 3

    @pytest.mark.cluster(workers=1)
    def test_nearest(self): assert self.count == 1

@pytest.mark.cluster(workers=4)
@pytest.mark.parametrize("n", [pytest.param(2, marks=pytest.mark.cluster(workers=2)), 4])
def test_parameter(cluster, n):
    assert len(cluster.workers) == n
    assert cluster.options.env == {"A": "module"}
"""


def test_nearest_marker_is_in_force(fakes: pytest.Pytester) -> None:
    """Of a class before that of its base, of a parameter before that of its function; what they say is merged."""
    fakes.makepyfile(MARKED)

    fakes.runpytest_inprocess("--cluster-workers=1,2").assert_outcomes(passed=6)


@pytest.mark.parametrize("scope", ["class", "module", "session"])
def test_fixture_of_a_wider_scope_is_told_what_to_do(fakes: pytest.Pytester, scope: str) -> None:
    fakes.makepyfile(
        f"""
        import pytest

        @pytest.fixture(scope="{scope}")
        def client(cluster_client): return cluster_client

        def test_it(client): pass

        @pytest.fixture(scope="{scope}")
        def other(tmp_path): return tmp_path

        def test_other(other): pass
        """
    )

    result = fakes.runpytest_inprocess()

    result.assert_outcomes(errors=2)
    told = {line.partition(":")[0] for line in result.outlines if "belongs to one test" in line}
    assert told == {"cluster_client belongs to one test, so a fixture that takes it has function scope"}


def test_names_in_parameters_and_class_attributes(fakes: pytest.Pytester) -> None:
    """A name that ``parametrize`` gives, or that a class or a doctest keeps, is known before the test runs."""
    fakes.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("name", ["cluster", pytest.param("cluster_client"), ("cluster",)[0]])
        def test_parameter(request, name): assert request.getfixturevalue(name)

        @pytest.mark.parametrize(("name", "n"), [("cluster", 1)])
        def test_pair(request, name, n): assert request.getfixturevalue(name)

        class TestIt:
            names = ["cluster"]
            def test_attribute(self, request): assert request.getfixturevalue(self.names[0])

        @pytest.mark.parametrize("name", ["cluster"])
        def test_that_asks_for_nothing(name): assert name
        """
    )
    fakes.maketxtfile(test_text=">>> name = 'cluster'\n>>> len(getfixture(name).workers) > 0\nTrue")

    result = fakes.runpytest_inprocess("--cluster-workers=1,2")

    result.assert_outcomes(passed=2 * 6 + 1)
