"""Settings of the processes: environment, folders, pid file, user, preload, what the command line alone decides."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
from raw_http import APPS, CHANGE, folder_of, serving, until
from remote_control import CONF, REMOTE, ask, here, opened_by, said, wait

from pytest_cluster import Cluster, ClusterFactory, StartError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changing the user needs root")
# The interpreter may be where nobody cannot read: what a worker imports late, the primary has imported.
IMPORT_EARLY = "import pprint\nfrom gevent import _config, hub, resolver_thread, threadpool\n_config.config.loop\n"
SETTLED = {"raw_env": ["COLOUR=red", "EMPTY="], "pidfile": "server.pid", "proc_name": "named"}


@pytest.mark.cluster(**{**REMOTE, "config": CONF + CHANGE}, settings=SETTLED)
def test_environment_and_pid_file_before_and_after_a_reload(cluster: Cluster) -> None:
    """``raw_env`` is set in both, and what a reload drops is gone; the pid file is the primary's, and goes with it."""
    read = "result = [os.environ.get('COLOUR'), os.environ.get('EMPTY')]"
    pid_file = folder_of(cluster) / "server.pid"
    assert ask(cluster, "primary", read) == ask(cluster, "worker/2", read) == ["red", ""]
    assert int(pid_file.read_text()) == cluster.primary.pid

    (folder_of(cluster) / "second").write_text("raw_env = ['COLOUR=blue']\npidfile = 'other.pid'\n")
    seen = cluster.journal.last_seq
    cluster.primary.signal("SIGHUP")
    for worker in (1, 2):
        cluster.journal.wait_for("exit", worker=worker, after=seen)
    cluster.wait_listening()
    assert ask(cluster, "primary", read) == ask(cluster, "worker/3", read) == ["blue", None]
    assert not pid_file.exists()
    other = pid_file.with_name("other.pid")
    assert int(other.read_text()) == cluster.primary.pid
    assert cluster.stop() == 0
    assert not other.exists()


@pytest.mark.cluster(**REMOTE)
def test_folders(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    """``chdir`` moves both sides, ``worker_tmp_dir`` has the heartbeat's file."""
    (tmp_path / "away").mkdir()
    (tmp_path / "beats").mkdir()
    server = cluster_factory(
        settings={"chdir": str(tmp_path / "away"), "worker_tmp_dir": str(tmp_path / "beats")}, workers=1
    )
    for where in ("primary", "worker/1"):
        assert ask(server, where, "result = os.getcwd()") == str(tmp_path / "away")
    assert any(path.startswith(str(tmp_path / "beats")) for path in opened_by(server.workers[0].pid))


@pytest.mark.cluster(**REMOTE, preload=True, env={"AT_IMPORT": "say(imported=os.getpid(), primary=cluster.is_primary)"})
def test_preload_imports_once_in_the_primary(cluster: Cluster) -> None:
    """The application is imported before any worker is; a reload forks from that, and does not import again."""
    assert said(cluster, imported=cluster.primary.pid) == [{"imported": cluster.primary.pid, "primary": True}]
    seen = cluster.journal.last_seq
    cluster.primary.signal("SIGHUP")
    for worker in (1, 2):
        cluster.journal.wait_for("exit", worker=worker, after=seen)
    roles = here(cluster, "result = [cluster.is_primary, cluster.is_worker, cluster.worker.id in (3, 4)]")
    assert roles["result"] == [False, True, True]
    assert [one["imported"] for one in said(cluster) if "imported" in one] == [cluster.primary.pid]


@pytest.mark.cluster(workers=1, settings={"umask": 0o027})
def test_umask_is_the_processes(cluster_factory: ClusterFactory) -> None:
    """``umask`` is for the socket's file alone unless gunicorn becomes a daemon: the workers keep their own."""
    server = cluster_factory(**REMOTE, settings={"bind": "unix:masked.sock"})
    mode = stat.S_IMODE(os.stat(str(server.address)).st_mode)
    assert mode == 0o750
    own = os.umask(0)
    os.umask(own)
    assert here(server, "mask = os.umask(0); os.umask(mask); result = mask")["result"] == own


@pytest.mark.slow
def test_application_named_in_the_configuration(tmp_path: Path) -> None:
    """``wsgi_app`` and ``pythonpath`` in the file; the command line says nothing but the worker class."""
    (tmp_path / "gunicorn.conf.py").write_text(
        f"wsgi_app = 'pid_echo:app'\npythonpath = {str(APPS)!r}\nbind = 'unix:s'\ncontrol_socket_disable = True\n"
        "def post_worker_init(worker): open('loaded', 'a').write('x')\n"
    )
    command = [sys.executable, "-m", "gunicorn", "-k", "nodecluster_compat.Worker", "-w", "2"]
    with serving(tmp_path, command) as server:
        until(lambda: (tmp_path / "loaded").exists() and (tmp_path / "loaded").read_text() == "xx", "two workers")
        assert "nodecluster_compat.Worker" in server.log


@pytest.mark.parametrize(
    ("settings", "app", "code", "sentence"),
    [
        ({}, "nowhere_to_be_found:app", 3, "No module named 'nowhere_to_be_found'"),
        ({}, "pid_echo:missing", 4, "Failed to find attribute 'missing' in 'pid_echo'"),
        ({"certfile": "missing.pem"}, "pid_echo:app", 1, 'certfile "missing.pem" does not exist'),
        ({"user": "no such user"}, "pid_echo:app", 1, "no such user"),
    ],
)
def test_what_cannot_start_ends_with_gunicorns_code(
    cluster_factory: ClusterFactory, settings: dict[str, str], app: str, code: int, sentence: str
) -> None:
    """The traceback or the sentence, gunicorn's exit code, and no second attempt."""
    with pytest.raises(StartError, match=f"exit code {code}") as failed:
        cluster_factory(settings=settings, app=app)
    assert sentence in str(failed.value)


@pytest.mark.cluster(workers=1, settings={"errorlog": "error.log", "capture_output": True, "loglevel": "warning"})
def test_output_is_captured_and_the_level_kept(cluster_factory: ClusterFactory) -> None:
    """``capture_output`` sends what the processes print to the log, ``loglevel`` keeps gunicorn's own lines out."""
    server = cluster_factory(**{**REMOTE, "config": "graceful_timeout = 8\n"})
    here(server, "print('printed in the worker', flush=True)")
    log = folder_of(server) / "error.log"
    wait(lambda: "printed in the worker" in log.read_text(), "the line", server)
    assert "Booting worker" not in log.read_text() + server.log
