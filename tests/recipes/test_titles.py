"""What ``ps`` shows where ``setproctitle`` is installed."""

from __future__ import annotations

from pathlib import Path

from recipes import PATIENCE

from pytest_cluster import Cluster, ClusterFactory
from pytest_cluster.waiting import poll

SETTINGS = {"graceful_timeout": 30, "proc_name": "shop"}


def title_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()


def titles(cluster: Cluster) -> list[str]:
    return sorted(title_of(one.pid) for one in cluster.workers if one.pid is not None)


def test_titles_have_slots_and_states(cluster_factory: ClusterFactory) -> None:
    """The primary has gunicorn's title, which monitoring looks for, and its state only where it is not the usual."""
    cluster = cluster_factory(app="sleepy:app", workers=2, settings=SETTINGS, fork_server=False, fresh=True)
    assert poll(lambda: title_of(cluster.primary.pid) == "gunicorn: master [shop]", PATIENCE)
    assert poll(lambda: titles(cluster) == ["gunicorn: worker 1 [shop]", "gunicorn: worker 2 [shop]"], PATIENCE)
    with cluster.connect(timeout=PATIENCE) as client:
        client.sendall(b"GET /sleep/3 HTTP/1.1\r\nHost: x\r\n\r\n")
        cluster.primary.signal("SIGTERM")
        assert poll(lambda: title_of(cluster.primary.pid) == "gunicorn: master [shop] stopping", PATIENCE)
        assert poll(lambda: any(one.endswith(" [shop] draining") for one in titles(cluster)), PATIENCE)
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


SCRIPT = """
from nodecluster_compat import cluster, http

if cluster.is_primary:
    cluster.fork()
else:
    http.create_server(lambda environ, start: start("200 OK", []) and [] or []).listen(0)
"""


def test_titles_of_a_script(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(SCRIPT)
    cluster = cluster_factory(script=str(tmp_path / "server.py"), workers=1, fork_server=False, fresh=True)
    assert poll(lambda: title_of(cluster.primary.pid).startswith("nodecluster: primary ["), PATIENCE)
    assert poll(lambda: [one[:22] for one in titles(cluster)] == ["nodecluster: worker 1 "], PATIENCE)


def test_fork_server_forks_servers_that_have_titles(cluster_factory: ClusterFactory) -> None:
    """The library writes over the place where a server's own environment is to stand."""
    cluster = cluster_factory(app="sleepy:app", workers=1, settings=SETTINGS, fork_server=True, fresh=True)
    assert cluster.get("/").status == 200
    assert "WORKER BOOT" not in cluster.log
