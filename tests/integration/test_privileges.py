"""Workers of another user: what they may, what they may not, and that everything between them and the primary works."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from raw_http import folder_of
from remote_control import CONF, REMOTE, ask, said, wait
from stage import Play, player

from pytest_cluster import Cluster

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")

NOBODY = 65534
# The interpreter may be where nobody cannot read: what a worker imports late, the primary has imported.
IMPORT_EARLY = (
    "import pprint, socket\nfrom gevent import _config, hub, resolver_thread, threadpool\n_config.config.loop\n"
)
SETTINGS = {"user": NOBODY, "group": NOBODY, "initgroups": True, "umask": 0o027, "bind": "unix:owned.sock"}
SUPERVISION = "cluster.setup_primary(status_file='status.json')\n"

WHO = "result = [list(os.getresuid()), list(os.getresgid()), os.getgroups()]"
FORBIDDEN = """
result = []
for forbidden in ("os.kill(os.getppid(), 0)", "os.listdir(f'/proc/{os.getppid()}/fd')", "os.setuid(0)", "os.setgid(0)"):
    try:
        eval(forbidden)
    except PermissionError:
        continue
    result.append(forbidden)
"""
TAKE = """
@process.on("message")
def take(message, handle):
    if handle is not None:
        handle.sendall(b"%d" % os.getuid())
        handle.close()
"""
GIVE = """
import socket
ours, theirs = socket.socketpair()
ours.setblocking(False)
cluster.workers[1].send('take', theirs)
"""
SEND = "import socket; a, b = socket.socketpair(); process.send({'here': 1}, a); b.close()"
HEAR = """
@cluster.on("message")
def hear(worker, message, handle):
    if handle is not None:
        say(came=handle.getsockname() == "")
        handle.close()
"""


@pytest.mark.cluster(
    **{**REMOTE, "config": CONF + IMPORT_EARLY + SUPERVISION}, workers=2, preload=True, settings=SETTINGS
)
def test_workers_are_somebody_else_and_everything_works(cluster: Cluster) -> None:
    """User and groups of the workers alone; messages and descriptors both ways; a successor; owners of files."""
    nobody = [[NOBODY] * 3, [NOBODY] * 3, [NOBODY]]
    assert [ask(cluster, f"worker/{number}", WHO) for number in (1, 2)] == [nobody, nobody]
    assert ask(cluster, "primary", WHO)[:2] == [[0] * 3, [0] * 3]
    assert ask(cluster, "worker/1", FORBIDDEN) == []

    ask(cluster, "worker/1", TAKE)
    ask(cluster, "primary", HEAR + GIVE)
    assert wait(lambda: ask(cluster, "primary", RECEIVE), "word through a socket", cluster) == str(NOBODY)
    ask(cluster, "worker/2", SEND)
    wait(lambda: said(cluster, came=True), "a socket in the primary", cluster)

    folder = folder_of(cluster)
    owned = (folder / "owned.sock").stat()
    assert (owned.st_uid, owned.st_gid, stat.S_IMODE(owned.st_mode)) == (NOBODY, NOBODY, 0o750)
    assert (folder / "status.json").stat().st_uid == 0

    cluster.worker(1).kill()
    cluster.journal.wait_for("exit", worker=1)
    cluster.wait_listening(2)
    assert ask(cluster, "worker/3", WHO) == nobody
    assert cluster.stop() == 0
    assert not (folder / "owned.sock").exists()


RECEIVE = """
try:
    result = ours.recv(20).decode()
except BlockingIOError:
    result = None
"""


@pytest.fixture
def play() -> Iterator[Play]:
    """Run a program that everybody may read."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield player(Path(folder))


def test_script_worker_gives_up_the_groups_too(play: Play) -> None:
    """No group of root's is kept (libuv does the same); the primary binds where the worker may not."""
    trace = play(
        """
        import gevent.resolver.thread, gevent.threadpool, pprint
        if cluster.is_primary:
            os.setgroups([4, 27])
            cluster.setup_primary(uid=65534, gid=65533)
            worker = cluster.fork()
            worker.on("listening", lambda address: worker.disconnect())
            worker.on("message", lambda message, handle: trace(message))
        else:
            process.send([list(os.getresuid()), list(os.getresgid()), os.getgroups()])
            net.create_server().listen(path=os.path.join(os.getcwd(), "s"))
        """
    )
    assert trace["P"] == ["[[65534,65534,65534],[65533,65533,65533],[]]"]


SHARED = CONF + IMPORT_EARLY + "import lmdb\n"
COUNT = "result = cluster.store.incr('hits')"


@pytest.mark.cluster(**{**REMOTE, "config": SHARED}, workers=2, settings={"user": NOBODY, "group": NOBODY})
@pytest.mark.parametrize("order", [("primary", "worker/1", "worker/2"), ("worker/2", "primary", "worker/1")])
def test_the_store_is_theirs_too(cluster: Cluster, order: tuple[str, ...]) -> None:
    """Whoever of them makes it, the primary of root's or a worker."""
    assert [ask(cluster, where, COUNT) for where in order] == [1, 2, 3]
