"""``cluster.fork``, ``cluster.disconnect``, ``cluster.workers``, the policy, timers, handlers that raise or exit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from raw_http import until
from remote_control import CONF, REMOTE, Gate, ask, healthy, here, said, tell, wait, wait_ended, wait_logged, wait_said

from pytest_cluster import Cluster, ClusterFactory
from pytest_cluster.server.leaks import session_members

FORKS_AT_EXIT = CONF + "\ncluster.on('exit', lambda worker, code, signal: cluster.fork())\n"
COUNTS = "result = [server.num_workers, len(cluster.workers)]"
WAYS_TO_NONE = [
    pytest.param({"env": {"NODE_CLUSTER_SCHED_POLICY": "none"}}, id="environment"),
    pytest.param({"config": CONF + "\ncluster.scheduling_policy = cluster.SCHED_NONE\n"}, id="attribute"),
]

# cluster.fork() and friends, without any cluster.
STANDALONE = """
import json
from nodecluster_compat import cluster, errors, process

def sentence(call, *args):
    try:
        call(*args)
    except errors.NotInCluster as error:
        return str(error)

for event in ("setup", "fork", "online", "listening", "message", "disconnect", "exit"):
    cluster.on(event, print)
process.on("message", print)
cluster.setup_primary(x=1)
cluster.call_later(0, print).cancel()
import sys
print(json.dumps({
    "roles": [cluster.is_primary, cluster.is_master, cluster.is_worker, process.connected],
    "worker": cluster.worker,
    "workers": len(cluster.workers),
    "x": cluster.settings["x"],
    "sentences": [sentence(process.send, 1), sentence(process.disconnect), sentence(cluster.fork),
        sentence(cluster.disconnect)],
    "heavy": sorted({"gevent", "gunicorn"} & set(sys.modules)),
}))
process.exit(3)
"""


@pytest.mark.table(quick=["crash", "HUP"])
@pytest.mark.cluster(**{**REMOTE, "config": FORKS_AT_EXIT})
@pytest.mark.parametrize("how", ["crash", "external TERM", "exit", "disconnect", "HUP", "TTOU"])
def test_fork_in_an_exit_handler_keeps_the_number(cluster: Cluster, how: str) -> None:
    """Every Node program forks when a worker exits; gunicorn does too, and together they are still one."""
    wanted, exits = 2, 1
    if how == "crash":
        cluster.workers[0].kill()
    elif how == "external TERM":
        cluster.workers[0].kill("TERM")
    elif how == "exit":
        tell(cluster, "worker/1", "process.exit(1)")
    elif how == "disconnect":
        tell(cluster, "primary", "cluster.workers[1].disconnect()")
    elif how == "HUP":
        exits = 2
        cluster.primary.signal("HUP")
    else:
        wanted = 1
        cluster.primary.signal("TTOU")
    wait_ended(cluster, exits)
    cluster.wait_listening(wanted)

    assert ask(cluster, "primary", COUNTS) == [wanted, wanted]
    assert len(said(cluster, saw="cluster", event="exit")) == exits
    assert "Traceback" not in cluster.log


@pytest.mark.slow
@pytest.mark.cluster(**{**REMOTE, "config": FORKS_AT_EXIT, "settings": {"max_requests": 2}})
def test_fork_in_an_exit_handler_with_max_requests(cluster: Cluster) -> None:
    """The number stays although workers end all the time."""
    for _ in range(20):
        cluster.get("/")
    wait_ended(cluster, 6)
    wait(lambda: ask(cluster, "primary", COUNTS)[0] == 2, "a target of 2", cluster)
    cluster.primary.signal("USR1")  # a worker more than asked for would by now be retired: none ever was started
    cluster.wait_listening(2)
    assert ask(cluster, "primary", "result = server.num_workers") == 2


@pytest.mark.cluster(**REMOTE)
def test_fork_raises_the_number_and_sets_the_environment(cluster: Cluster) -> None:
    """``fork(env)`` gives a handle at once, a worker later, and that worker alone the environment."""
    first = ask(
        cluster, "primary", "w = cluster.fork({'COLOUR': 'red'}); result = [w.id, w.state, w.id in cluster.workers]"
    )
    cluster.wait_listening(3)

    assert first == [3, "none", True]
    assert ask(cluster, "primary", COUNTS) == [3, 3]
    colours = {one.id: ask(cluster, f"worker/{one.id}", "result = os.environ.get('COLOUR')") for one in cluster.workers}
    assert colours == {1: None, 2: None, 3: "red"}
    assert ask(cluster, "primary", "result = os.environ.get('COLOUR')") is None
    assert ask(cluster, "primary", "a, b = cluster.fork(), cluster.fork(); result = [a.id, b.id]") == [4, 5]
    cluster.wait_listening(5)
    cluster.worker(3).kill()
    cluster.journal.wait_for("exit", worker=3)
    cluster.wait_listening(5)
    assert ask(cluster, "worker/6", "result = os.environ.get('COLOUR')") is None


@pytest.mark.cluster(**REMOTE, workers=3)
def test_disconnect_of_the_cluster(cluster: Cluster, tmp_path: Path) -> None:
    """The callback comes once, after the last worker is gone (D4), requests in flight are answered, the server ends."""
    gate = Gate(tmp_path)
    source = gate.source.encode()
    with cluster.connect(timeout=30) as slow:
        slow.sendall(b"POST /here HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(source), source))
        blocked = gate.entered(cluster)
        tell(
            cluster,
            "primary",
            "cluster.disconnect(lambda: say(done=1, left=len(cluster.workers)))\n"
            "cluster.disconnect(lambda: say(done=2))",
        )
        wait_ended(cluster, 2)
        assert said(cluster, done=1) == []
        assert [one.pid for one in cluster.workers] == [blocked]
        gate.open()
        assert slow.recv(65536).startswith(b"HTTP/1.1 200")
    wait(lambda: cluster.returncode is not None, "the end of the server", cluster)

    assert cluster.returncode == 0
    assert [one for one in said(cluster) if "done" in one or one.get("event") == "exit"][-3:][0]["event"] == "exit"
    assert said(cluster, done=1) == [{"done": 1, "left": 0}]
    assert len(said(cluster, done=2)) == 1
    assert {cluster.worker(one).exit_code for one in (1, 2, 3)} == {0}


@pytest.mark.table(quick=["environment"])
@pytest.mark.cluster(**REMOTE)
@pytest.mark.parametrize("changes", WAYS_TO_NONE)
def test_workers_that_accept_for_themselves(cluster_factory: ClusterFactory, changes: dict[str, object]) -> None:
    """``SCHED_NONE``: stock gunicorn's way to connections, with the cluster's events, messages and ends."""
    cluster = cluster_factory(**changes)
    assert ask(cluster, "primary", "result = cluster.scheduling_policy") == 1
    assert [one.address.port for one in cluster.journal.entries if one.event == "listening"] == [cluster.port] * 2
    assert ask(cluster, "worker/2", "result = cluster.worker.state") == "listening"
    tell(cluster, "primary", "cluster.workers[1].disconnect()")
    gone = wait_ended(cluster, worker=1)[0]
    assert (gone["args"], gone["ead"]) == ([0, None], True)
    cluster.wait_listening()
    cluster.worker(2).kill()
    cluster.journal.wait_for("exit", worker=2)
    cluster.wait_listening()

    with cluster.connect() as client:
        body = b"say(inside=1); import time; time.sleep(0.2)"
        client.sendall(b"POST /here HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        wait_said(cluster, inside=1)
        cluster.primary.signal("TERM")
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
    wait(lambda: cluster.returncode is not None, "the end of the server", cluster)
    assert cluster.returncode == 0
    assert {cluster.worker(one).exit_code for one in (3, 4)} == {0}


@pytest.mark.cluster(**REMOTE)
def test_timers_and_threads(cluster: Cluster) -> None:
    """Timers come in the order of their times, cancelled ones never; another thread may call in."""
    source = """
        import threading
        cluster.call_later(0.2, lambda *order: say(order=order), 'second', 2)
        cluster.call_later(0.1, lambda: say(order='first'))
        never = cluster.call_later(0.05, lambda: say(order='never'))
        never.cancel()
        def other():
            cluster.call_soon_threadsafe(lambda: say(thread=threading.current_thread() is threading.main_thread()))
        thread = threading.Thread(target=other); thread.start(); thread.join()
    """
    ask(cluster, "primary", source)
    wait_said(cluster, order=["second", 2])

    assert [one["order"] for one in said(cluster) if "order" in one] == ["first", ["second", 2]]
    assert said(cluster, thread=True)


COUNTING = """
cluster.on("listening", lambda worker, address: say(heard=worker.id))
cluster.call_later(2.0, lambda: say(tick=os.getpid()))
cluster.on("message", lambda worker, message, handle: say(got=message) if isinstance(message, str) else None)
"""


@pytest.mark.cluster(**{**REMOTE, "config": CONF + COUNTING}, workers=1)
def test_reload_replaces_handlers_and_timers(cluster: Cluster) -> None:
    """After three HUPs each event is told once, and of four timers the last one is left."""
    for turn in range(3):
        seen = cluster.journal.last_seq
        cluster.primary.signal("HUP")
        cluster.journal.wait_for("exit", after=seen)
        cluster.wait_listening()
        assert [one["heard"] for one in said(cluster) if "heard" in one] == list(range(1, turn + 3))
    here(cluster, "process.send('once')")
    wait_said(cluster, got="once")
    wait_said(cluster, tick=cluster.primary.pid)
    ask(cluster, "primary", "")
    assert len(said(cluster, got="once")) == 1
    assert len(said(cluster, tick=cluster.primary.pid)) == 1


@pytest.mark.cluster(**REMOTE)
def test_handlers_that_raise(cluster: Cluster) -> None:
    """The traceback is logged, the other handlers of the event run, timers and callbacks too, and nothing ends."""
    source = """
        def broken(*args):
            raise RuntimeError('broken handler')
        for event in ('fork', 'online', 'listening', 'message', 'disconnect', 'exit'):
            cluster.on(event, broken)
        cluster.workers[1].on('exit', broken)
        cluster.on('exit', lambda worker, code, signal: say(after=worker.id))
        cluster.call_later(0, broken)
        cluster.call_soon_threadsafe(broken)
    """
    ask(cluster, "primary", source)
    cluster.worker(1).kill()
    wait_said(cluster, after=1)
    assert healthy(cluster)
    tell(cluster, "primary", "say(still=1)")
    wait_said(cluster, still=1)

    until(lambda: cluster.log.count("RuntimeError: broken handler") >= 9, "nine tracebacks")
    wait_logged(cluster, "in broken")


@pytest.mark.cluster(**REMOTE, workers=4)
def test_broadcast(cluster: Cluster) -> None:
    """``cluster.workers`` is what a program loops over; every worker hears it once."""
    source = "for worker in cluster.workers.values(): worker.send(run)"
    run = {"remote": "run", "source": "say(heard=cluster.worker.id)", "reply": False}
    ask(cluster, "primary", f"run = {run!r}\n{source}")
    wait(lambda: len([one for one in said(cluster) if "heard" in one]) == 4, "four workers", cluster)

    assert sorted(one["heard"] for one in said(cluster) if "heard" in one) == [1, 2, 3, 4]


@pytest.mark.table(quick=["message"])
@pytest.mark.cluster(**REMOTE)
@pytest.mark.parametrize("where", ["message", "exit", "timer"])
def test_handler_that_exits_ends_the_server(cluster: Cluster, where: str) -> None:
    """``sys.exit(5)`` in a handler of the primary is the server's exit code, and no worker is left."""
    leave = "import sys; leave = lambda *args: sys.exit(5)\n"
    session = cluster.primary.pid
    how = {
        "message": "leave()",
        "exit": "cluster.on('exit', leave); cluster.workers[1].kill('SIGKILL')",
        "timer": "cluster.call_later(0, leave)",
    }[where]
    tell(cluster, "primary", leave + how)
    wait(lambda: cluster.returncode is not None, "the end of the server", cluster)

    assert cluster.returncode == 5
    assert session_members(session) == []
    for worker in (1, 2):
        assert cluster.worker(worker).is_dead()


def test_program_without_a_cluster() -> None:
    """A primary of nobody: registering is safe, what needs a cluster raises a sentence, nothing heavy is loaded."""
    done = subprocess.run([sys.executable, "-c", STANDALONE], capture_output=True, text=True, timeout=30, check=False)

    said_so = json.loads(done.stdout)
    assert done.returncode == 3
    assert said_so["roles"] == [True, True, False, False]
    assert (said_so["worker"], said_so["workers"], said_so["x"], said_so["heavy"]) == (None, 0, 1, [])
    assert all("gunicorn -k nodecluster_compat.Worker" in sentence for sentence in said_so["sentences"])
