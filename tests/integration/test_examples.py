"""What the README shows is what happens."""

from __future__ import annotations

from pathlib import Path

from remote_control import wait

from pytest_cluster import ClusterFactory

HELLO = Path(__file__).parents[2] / "examples" / "hello"


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
