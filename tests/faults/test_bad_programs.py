"""Programs that do the unexpected at the wrong moment: forks in hooks, forks while the server ends, endless drains."""

from __future__ import annotations

import pytest
from raw_http import CHANGE, folder_of, until
from remote_control import CONF, REMOTE, tell, wait_ended, wait_logged
from stage import Play

from pytest_cluster import Cluster, ClusterFactory

FORKING = "from nodecluster_compat import cluster\ncluster.on('exit', lambda w, c, s: cluster.fork())\n"
APP = "pid_echo:app"


@pytest.mark.slow
@pytest.mark.cluster(
    workers=2,
    app=APP,
    config="import os\ndef pre_fork(server, worker):\n    if not os.fork():\n        os._exit(0)\n",
)
def test_hook_that_forks_is_not_the_worker(cluster: Cluster) -> None:
    """What ``pre_fork`` forks is let go of; the worker behind it is the worker."""
    assert [cluster.get("/").status for _ in range(4)] == [200] * 4
    assert cluster.log.count("Booting worker") == 2


@pytest.mark.cluster(
    workers=1,
    app=APP,
    config=(
        "import subprocess\n"
        "def note(name):\n    subprocess.run(['grep', 'SigBlk', '/proc/self/status'], stdout=open(name, 'w'))\n"
        "def pre_fork(server, worker):\n    note('pre')\n"
        "def post_fork(server, worker):\n    note('post')\n"
    ),
)
def test_programs_that_hooks_start_block_no_signals(cluster: Cluster) -> None:
    """A helper that a hook starts must end on TERM."""
    assert cluster.get("/").status == 200
    for name in ("pre", "post"):
        assert int((folder_of(cluster) / name).read_text().split()[1], 16) == 0


@pytest.mark.cluster(workers=2, app=APP, config=FORKING + CHANGE, settings={"graceful_timeout": 1})
def test_exit_handler_that_forks_survives_a_change_of_the_worker_class(cluster: Cluster) -> None:
    """The workers of another class are as many as there should be; fork() says why it cannot."""
    (folder_of(cluster) / "second").write_text("worker_class = 'gevent'\n")
    cluster.primary.signal("SIGHUP")
    until(lambda: "which has no channel" in cluster.log, "the refusal")
    until(lambda: cluster.get("/").status == 200, "an answer")
    assert cluster.log.count("Booting worker") <= 5


@pytest.mark.cluster(workers=3, app=APP, config=FORKING)
def test_exit_handler_that_forks_does_not_undo_a_smaller_number(cluster: Cluster) -> None:
    """The workers were retired on purpose: ``fork()`` gives one of those that are left."""
    before = cluster.log.count("Booting worker")
    for left in (2, 1):
        cluster.primary.signal("SIGTTOU")
        until(lambda left=left: sum(not w.is_dead() for w in cluster.workers) == left, "one worker less")
    assert cluster.get("/").status == 200
    assert cluster.log.count("Booting worker") == before


DISCONNECT = (
    FORKING
    + "import json\n"
    + "def told():\n    print(json.dumps({{'called': len(cluster.workers)}}), flush=True)\n"
    + "def go():\n    {first}\n    cluster.disconnect(told)\n"
    + "cluster.on('message', lambda w, m, h: go())\n"
)


@pytest.mark.parametrize("first", ["pass", "cluster.fork()"])
def test_cluster_disconnect_calls_back_and_ends_whatever_forks(cluster_factory: ClusterFactory, first: str) -> None:
    """With an exit handler that forks, with a fork() in the same turn: the callback, the end, and nobody new."""
    server = cluster_factory(workers=2, app="disconnecting:app", config=DISCONNECT.format(first=first))
    server.get("/disconnect")
    until(lambda: '{"called": 0}' in server.log, "the callback")
    until(lambda: server.returncode is not None, "the end of the server")
    assert server.returncode == 0
    assert server.log.count("Booting worker") == 2


@pytest.mark.cluster(
    workers=1,
    app=APP,
    settings={"graceful_timeout": 20},
    config="import time\ndef worker_exit(server, worker):\n    time.sleep(3)\n    print('hook is done', flush=True)\n",
)
def test_hook_of_a_worker_that_a_signal_ends_is_not_cut(cluster: Cluster) -> None:
    """It took leave of its connections: it has graceful_timeout for the rest."""
    cluster.worker(1).kill("SIGTERM")
    until(lambda: "hook is done" in cluster.log, "the end of the hook")
    assert "killed" not in cluster.log


@pytest.mark.cluster(**{**REMOTE, "config": CONF + "graceful_timeout = 1\n"}, workers=2)
def test_disconnect_of_a_worker_that_does_not_hear_has_a_limit(cluster: Cluster) -> None:
    """Its handler blocks and its channel is full: it is killed when a signal would have killed it, and replaced."""
    tell(cluster, "worker/1", "process.on('message', lambda m, h: __import__('time').sleep(60))")
    source = "[cluster.workers[1].send('x' * 1000) for _ in range(3000)]; cluster.workers[1].disconnect()"
    tell(cluster, "primary", source)
    wait_ended(cluster, worker=1)
    wait_logged(cluster, "did not end within graceful_timeout: killed")


@pytest.mark.cluster(workers=2, app=APP, settings={"graceful_timeout": 1})
def test_worker_that_does_not_hear_the_end_of_the_server_is_named(cluster: Cluster) -> None:
    """The log says that the master has killed it, not only that somebody has."""
    pid = cluster.worker(1).pid
    cluster.worker(1).kill("SIGSTOP")
    cluster.primary.signal("SIGTERM")
    until(lambda: cluster.returncode is not None, "the end of the server")
    assert cluster.returncode == 0
    wait_logged(cluster, f"Worker (pid:{pid}) did not end within ")
    assert cluster.log.count("did not end within") == 1


HOSTILE = """
from nodecluster_compat.messages import advanced_nodes as nodes
from nodecluster_compat.messages.frames import FrameKind, encode_frame
COUNT = 50_000
tower = [nodes.Set([(61,)]), nodes.Tuple([1]), *(nodes.Tuple([(n,), (n,)]) for n in range(1, 61))]
chain = [nodes.Tuple([]), *(nodes.Tuple([(n,)]) for n in range(1, COUNT))]
deep = [nodes.List([*((n,) for n in range(1, COUNT + 1)), (COUNT + 1,)]), *chain, nodes.Set([(COUNT,)])]
reading = [nodes.Exception_("UnicodeDecodeError", ["utf-8", (1,), -2**40, 1 - 2**40, "why"], []), nodes.Bytes(b"x")]
called = [nodes.Exception_("exec", ["trace('never')"], [])]
if cluster.is_primary:
    cluster.setup_primary(serialization="advanced")
    cluster.on("message", lambda worker, message, handle: trace(worker.id, str(message)))
    cluster.on("exit", lambda worker, code, signal: (trace("exit", worker.id), worker.id < 5 and cluster.fork()))
    cluster.fork()
else:
    process.send("hello")
    made = [tower, deep, reading, called][cluster.worker.id - 1] if cluster.worker.id < 5 else None
    if made is None:
        cluster.worker.disconnect()
    else:
        cluster.worker._line._channel.send(encode_frame(FrameKind.MESSAGE, nodes.pack(nodes.Message((0,), made))))
"""


def test_advanced_messages_that_mean_harm_end_their_worker(play: Play) -> None:
    """Each would end the primary, or stop it for ever: it says why, once for each, and forks the next."""
    trace = play(HOSTILE, quiet=False)
    assert trace["P"] == [line for number in range(1, 6) for line in (f"{number} hello", f"exit {number}")]
