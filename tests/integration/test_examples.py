"""What the README shows is what happens."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from redis_server import needs_redis, running
from remote_control import wait

from pytest_cluster import ClusterFactory

EXAMPLES = Path(__file__).parents[2] / "examples"
HELLO = EXAMPLES / "hello"


def test_hello_deals_round_robin_and_tells_of_an_end(cluster_factory: ClusterFactory) -> None:
    """Each worker answers in turn; a killed one is told of, and another comes."""
    config = (HELLO / "gunicorn.conf.py").read_text().replace('bind = "127.0.0.1:8000"', "")
    server = cluster_factory(workers=3, app="app:app", settings={"pythonpath": str(HELLO)}, config=config)
    turns = [server.get("/").json()["worker"] for _ in range(6)]
    assert turns[:3] == turns[3:]
    assert set(turns) == {1, 2, 3}
    server.worker(2).kill()
    server.journal.wait_for("exit", worker=2)
    wait(lambda: "worker 2 ended: code None, signal SIGKILL" in server.log, "the example's own words", server)
    assert "worker 1 says {'served': '/'}" in server.log
    server.wait_listening(3)


PROJECTS = [("flask_shop", 7), ("django_polls", 3), ("threads_orders", 4), ("fastapi_rooms", 5)]
PROJECTS += [("chat", 3), ("cache_everywhere", 3), ("rate_limited", 3)]


@pytest.mark.timeout(300)
@pytest.mark.long  # tests/docs runs tests of the pages in the first two
@pytest.mark.parametrize(("project", "tests"), PROJECTS)
def test_project_whose_own_tests_use_the_plugin(project: str, tests: int) -> None:
    """As their owner runs them; every test of theirs passes, and none leaves a process."""
    if project == "fastapi_rooms":
        pytest.importorskip("fastapi")  # which has given Python 3.10 up
    run_tests_of(project, tests)


@needs_redis
@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("project", ["cache_everywhere", "rate_limited"])
def test_project_goes_on_to_many_hosts_by_one_variable(project: str, tmp_path: Path) -> None:
    """What is shared is on Redis then; the code and its tests are the same."""
    redis = pytest.importorskip("redis")
    with running(tmp_path) as server:
        run_tests_of(project, dict(PROJECTS)[project], NODECLUSTER_BUS=server.url)
        with redis.Redis.from_url(server.url) as client:
            assert "cmdstat_publish" in client.info("commandstats"), "nothing has gone by way of the server"


def run_tests_of(project: str, tests: int, **variables: str) -> None:
    """Run an example's own tests; so many of them pass, and none leaves a process.

    Servers are forked and no other plugin is loaded, which halves the work; tests/docs and tests/zoo do without.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "cluster", "-p", "no:cacheprovider"],
        cwd=EXAMPLES / project,
        env=environment | {"PYTEST_CLUSTER_FORK_SERVER": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{tests} passed" in done.stdout
    assert "0 with leaked processes" in done.stdout
