"""Servers that are forked from pytest's own process, with an application that only a fixture has."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_cluster.errors import OptionError
from pytest_cluster.options.cluster_options import ClusterOptions
from pytest_cluster.options.recipe import Recipe
from pytest_cluster.options.served import name_object

TESTS = """
import atexit, logging, os, socket, sys
import pytest

GREETING = "plain"
opened = socket.socketpair()
atexit.register(open, "ended", "w")

@pytest.fixture
def app(request):
    name = request.node.name

    def application(environ, start_response):
        start_response("200 OK", [])
        return [f"{name} {GREETING}".encode()]

    return application

@pytest.fixture
def cluster_app(app):
    return app

def state():
    handlers = [type(one).__module__ for one in logging.getLogger().handlers]
    finders = [type(one).__module__ for one in sys.meta_path]
    return {"capturing": [one for one in handlers + finders if "_pytest" in one], "folder": os.getcwd()}

def test_closure(cluster):
    answers = [cluster.get("/") for _ in range(4)]
    assert {one.text for one in answers} == {"test_closure plain"}
    assert {one.worker for one in answers} == {1, 2}

def test_patched(monkeypatch, request, tmp_path):
    monkeypatch.setattr(f"{__name__}.GREETING", "patched")
    cluster = request.getfixturevalue("cluster")
    assert cluster.get("/").text == "test_patched patched"
    victim = cluster.workers[0]
    with cluster.expect("exit", worker=victim):
        victim.kill()
    assert cluster.reload().succeeded
    assert cluster.get("/").text == "test_patched patched"

def test_what_it_does_not_share(cluster):
    opened[0].send(b"mine")
    assert opened[1].recv(10) == b"mine"
    found = cluster.workers[0].run(state)
    assert found["capturing"] == []
    assert found["folder"] == os.getcwd()
    files = os.listdir(f"/proc/{cluster.primary.pid}/fd")
    links = [os.readlink(f"/proc/{cluster.primary.pid}/fd/{one}") for one in files]
    own = [os.readlink(f"/proc/self/fd/{one.fileno()}") for one in opened]
    assert not set(own) & set(links)

def test_factory(cluster_factory, app):
    other = lambda environ, start: [start("204 No Content", [])] and []
    one, other = cluster_factory(app=app), cluster_factory(app=other)
    assert (one.get("/").status, other.get("/").status) == (200, 204)

def test_end(cluster):
    assert cluster.stop() == 0
    assert not os.path.exists("ended")
"""


@pytest.mark.slow
def test_application_of_a_fixture(pytester: pytest.Pytester) -> None:
    """A closure, what a test has patched, a server that does not start by itself; nothing of pytest's is shared."""
    pytester.makepyfile(TESTS)
    pytester.makeini("[pytest]\ncluster_fork_app = true\nfilterwarnings = error\n")

    result = pytester.runpytest_subprocess()

    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(["cluster: 6 started, reused 0 times, *"])


@pytest.mark.slow
def test_application_that_fails_there(pytester: pytest.Pytester) -> None:
    """The process that was forked ends, and never comes back into pytest."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.cluster(fork_app=True, app="nothing_like_it:app")
        def test_it(cluster): pass

        def test_next(): open("once", "x")
        """
    )

    result = pytester.runpytest_subprocess()

    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(["*the log says: ModuleNotFoundError: No module named 'nothing_like_it'*"])


@pytest.mark.parametrize("more", [{"script": "server.py"}, {"worker_class": "gevent"}])
def test_what_cannot_be_forked_from_pytest(more: Any) -> None:
    with pytest.raises(OptionError, match=r"fork_app=True serves an application on threads .*: it cannot be had with "):
        ClusterOptions(fork_app=True, **more)


def test_object_needs_a_name_or_the_fork() -> None:
    def app() -> None: ...

    recipe = Recipe(ClusterOptions(), "/here")
    with pytest.raises(OptionError, match=r"or say fork_app=True"):
        recipe.changed("cluster_factory", {"app": app})
    assert recipe.changed("cluster_factory", {"app": app, "fork_app": True}).options.app == name_object(app)
    assert name_object(app) == name_object(app) != name_object(lambda: None)
    assert ClusterOptions(fork_app=True, app=name_object(app)).target == repr(app)
    assert ClusterOptions(app="shop:app").target == "shop:app"


@pytest.mark.slow
def test_factory_that_forks_needs_no_name(shop: pytest.Pytester) -> None:
    """What ``cluster_app`` returns is looked at when a cluster is started, and as the call says."""
    shop.makepyfile(
        """
        import pytest

        @pytest.fixture
        def cluster_app():
            def app(environ, start_response):
                start_response("200 OK", [("Content-Length", "2")])
                return [b"ok"]
            return app

        def test_forked(cluster_factory): assert cluster_factory(fork_app=True, workers=1).get("/").text == "ok"
        def test_another(cluster_factory): assert cluster_factory(app="shop:app", workers=1).get("/").ok
        def test_neither(cluster_factory):
            with pytest.raises(Exception, match="is no global of a module, .* or say fork_app=True"):
                cluster_factory()
        """
    )

    shop.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=3)
