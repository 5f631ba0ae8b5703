"""Node's kind of program under test: ``@pytest.mark.cluster(script="server.py")``."""

from __future__ import annotations

import os

import pytest

from pytest_cluster import ClusterOptions

SERVER = """
import os
from nodecluster_compat import cluster, http, process

if cluster.is_primary:
    for _ in range(int(os.environ["WEB_CONCURRENCY"])):
        cluster.fork()
    cluster.on("exit", lambda worker, code, signal: None if worker.exited_after_disconnect else cluster.fork())
else:
    def app(environ, start_response):
        process.send({"path": environ["PATH_INFO"]})
        if environ["PATH_INFO"] == "/raise":
            raise LookupError
        start_response("200 OK", [])
        return [str(cluster.worker.id).encode()]

    http.create_server(app).listen(0, "127.0.0.1")
"""


@pytest.mark.usefixtures("forked")
def test_script(pytester: pytest.Pytester) -> None:
    """Everything that a test can do with an application, beside its own file."""
    folder = pytester.mkdir("inner")
    (folder / "server.py").write_text(SERVER)
    (folder / "test_it.py").write_text(
        """
import os
import pytest
from pytest_cluster import assert_distribution, ClusterError

pytestmark = pytest.mark.cluster(script="server.py", workers=3)

def test_requests(cluster, cluster_client):
    hits = cluster_client.get_many("/", 9)
    assert_distribution(hits)
    assert len(hits.by_worker()) == 3
    assert [worker.requests_served for worker in cluster.workers] == [3, 3, 3]
    failed = cluster_client.get_many("/raise", 3)
    assert None not in failed.by_worker()
    assert {hit.status for hit in failed} == {500}

def test_messages(cluster, cluster_client):
    with cluster.messages.expect({"path": "/x"}, exactly=1):
        cluster_client.get("/x")

def test_faults(cluster, cluster_faults):
    first = cluster.workers[0]
    assert first.run(os.getpid) == first.pid
    assert "greenlet" in first.stacks()
    with cluster.expect("exit", worker=first) as event:
        cluster_faults.kill(first)
    assert event.signal == "SIGKILL"
    assert [worker.id for worker in cluster.wait_listening()] == [2, 3, 4]
    with cluster_faults.hang(cluster.workers[0]):
        pass
    with pytest.raises(Exception, match="nobody keeps a number of workers in script mode"):
        cluster.scale(2)

@pytest.mark.cluster(policy="none")
def test_kernel_deals(cluster_client):
    assert cluster_client.get("/").status == 200
"""
    )

    pytester.runpytest_inprocess().assert_outcomes(passed=4)


@pytest.mark.usefixtures("forked")
def test_script_imports_from_where_its_test_does(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the folders of ``pythonpath``, then from those that the user has."""
    for folder, modules in {"src": ("goods", "prices"), "more": ("prices", "people")}.items():
        pytester.mkdir(folder)
        for module in modules:
            pytester.path.joinpath(folder, f"{module}.py").write_text(f"origin = {folder!r}")
    pytester.makeini("[pytest]\npythonpath = src\n")
    monkeypatch.setenv("PYTHONPATH", str(pytester.path / "more"), prepend=os.pathsep)
    pytester.makepyfile(
        server=SERVER.replace("import os", "import goods, prices, people, os").replace(
            "str(cluster.worker.id)", "' '.join([goods.origin, prices.origin, people.origin])"
        )
    )
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.cluster(script="server.py", cwd=None)
        def test_it(cluster):
            assert cluster.get("/").text == "src src more"
        """
    )

    pytester.runpytest_inprocess().assert_outcomes(passed=1)


@pytest.mark.parametrize("more", ["settings={'keepalive': 1}", "config='x = 1'", "preload=True"])
def test_what_a_script_has_no_use_for(pytester: pytest.Pytester, more: str) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.cluster(script="server.py", {more})
        def test_it(cluster): pass
        """
    )

    result = pytester.runpytest()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*a script has no gunicorn.conf.py: give it env=*"])


def test_script_and_application_are_two_programs(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.cluster(script="server.py", app="shop:app")
        def test_it(cluster): pass
        """
    )

    result = pytester.runpytest()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*app='shop:app' and script='server.py' are two programs, * give one of them"])


def test_the_nearer_of_script_and_application_is_what_runs() -> None:
    script = ClusterOptions().changed("class", {"app": "shop:app"}).changed("test", {"script": "server.py"})
    app = script.changed("test", {"app": "shop:app"})
    assert (script.target, app.target) == ("server.py", "shop:app")


@pytest.mark.usefixtures("forked")
def test_script_that_fails(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(server="raise LookupError('no servers today')")
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.cluster(script="server.py")
        def test_it(cluster): pass
        """
    )

    result = pytester.runpytest_inprocess()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["the cluster of *server.py did not get ready at its start *; the log says: LookupError: no servers today; *"]
    )
