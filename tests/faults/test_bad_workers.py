"""Workers that break the protocol or run wild: the primary ends them, and nothing else happens."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from typing import Any

import pytest
from kinds import every_kind
from remote_control import (
    CONF,
    REMOTE,
    ask,
    healthy,
    here,
    open_fds,
    opened_by,
    resident_bytes,
    said,
    tell,
    wait,
    wait_ended,
    wait_logged,
    wait_said,
)

from pytest_cluster import Cluster, ClusterFactory, StartError

MEBIBYTE = 1024 * 1024

# Both channels of the worker as raw descriptors, and the frames and packets that go there.
CHANNELS = """
import socket, struct
from nodecluster_compat._gunicorn.arbiter.forking import this_birth
messages = socket.socket(fileno=os.dup(cluster.worker._line._channel.fileno()))
packets = socket.socket(fileno=os.dup(this_birth().receiver._end.fileno()))
frame = lambda kind, payload=b'': messages.send(struct.pack('!IB', len(payload), kind) + payload)
packet = lambda kind, listener=0: packets.send(struct.pack('!BI251x', kind, listener))
"""

# One-byte messages without end, from a thread that nothing in the worker holds up.
SMALL_FLOOD = """
import gevent.monkey, select
original = gevent.monkey.get_original
def flood(block=(struct.pack('!IB', 1, 1) + b'1') * 10_000, start=0):
    while True:
        try:
            start = (start + messages.send(block[start:])) % len(block)
        except BlockingIOError:
            original('select', 'select')([], [messages.fileno()], [])
        except OSError:
            return
messages = original('socket', 'socket')(fileno=messages.detach())
messages.setblocking(False)
original('_thread', 'start_new_thread')(flood, ())
"""

# How many of them the primary hears in one turn of its loop, at most.
COUNT_TURNS = """
total = before = most = 0
def count(worker, message, handle):
    global total
    total += 1
def turn():
    global before, most
    before, most = total, max(most, total - before)
    if total < 100_000:
        cluster.call_soon_threadsafe(turn)
    else:
        say(most=most)
cluster.on('message', count)
turn()
"""

# What a worker does to its channels, and what the primary says about it.
FATAL = [
    pytest.param("messages.send(b'\\xff' * 4096)", "announces 4294967295 bytes", id="garbage"),
    pytest.param("messages.send(bytes(5))", "unknown kind 0", id="unknown kind of frame"),
    pytest.param("frame(1, b'{not json')", "does not hold JSON", id="message that is not JSON"),
    pytest.param("frame(2)", "cannot take the step 'online'", id="online twice"),
    pytest.param("frame(3, b'[]')", "does not hold an address", id="listening without an address"),
    pytest.param("frame(4)", "a frame that only the primary sends", id="frame of the primary's"),
    pytest.param("messages.shutdown(socket.SHUT_RDWR)", "", id="message channel shut down"),
    pytest.param("messages.send(bytes((0, 0, 0, 80, 1, 91))); messages.shutdown(socket.SHUT_WR)", "", id="half closed"),
    pytest.param("packets.send(b'garbage')", "makes no sense", id="garbage packet"),
    pytest.param("packets.send(b'x' * 60000)", "makes no sense", id="long packet"),
    pytest.param("packet(99)", "makes no sense", id="unknown kind of packet"),
    pytest.param("packet(10, 99)", "a listener that never existed", id="connection handed on for no listener"),
    pytest.param("packet(1, 1)", "a packet that only the primary sends", id="packet of the primary's"),
    pytest.param("packet(5, 99)", "a listener that never existed", id="answer for no listener"),
    pytest.param("packets.shutdown(socket.SHUT_RDWR)", "", id="connection channel shut down"),
]

# Answers to nothing: ignored.
FORGED = [
    *("packet(5, 1)", "packet(6, 1)", "packet(4)", "packet(5, 1); packet(6, 1); packet(4)"),
    *("packet(10, 1)", "packet(11)", "packet(11); packet(11, 1)"),  # it hands nothing on, and routes
    "frame(10)",  # a descriptor has arrived
    "frame(11)",  # ... has not
    "frame(12, b'99')",  # a server is closed
    """frame(3, b'{"listener": 99, "address": null, "port": -5, "type": null}')""",  # it serves somebody else's
    """frame(3, b'{"listener": -1, "address": "x", "port": 99999, "type": 4}')""",
]


@pytest.fixture
def pids(cluster: Cluster) -> list[int]:
    """The primary's pid and its number of descriptors, which must stay what they are; it has opened all by then."""
    known, now = -1, open_fds(cluster.primary.pid)
    while now != known:
        assert healthy(cluster)
        known, now = now, open_fds(cluster.primary.pid)
    return [cluster.primary.pid, now]


@pytest.mark.table(
    quick=[
        "garbage",
        "online twice",
        "message channel shut down",
        "unknown kind of packet",
        "connection handed on for no listener",
    ]
)
@pytest.mark.cluster(**REMOTE)
@pytest.mark.parametrize(("source", "log"), FATAL)
def test_broken_channel_ends_its_worker(cluster: Cluster, pids: list[int], source: str, log: str) -> None:
    """One line says why, the worker is told of and replaced, and the primary keeps nothing of it."""
    tell(cluster, "worker/1", CHANNELS + source)
    exit_ = wait_ended(cluster)[0]

    assert exit_["worker"] == 1
    assert said(cluster, saw="cluster", event="disconnect")[0]["worker"] == 1
    wait_logged(cluster, log)
    assert healthy(cluster)
    wait(lambda: [cluster.primary.pid, open_fds(cluster.primary.pid)] == pids, f"pid and descriptors {pids}", cluster)
    assert len(said(cluster, saw="cluster", event="exit")) == 1


@pytest.mark.cluster(**REMOTE)
def test_forged_answers_are_ignored(cluster: Cluster, pids: list[int]) -> None:
    """A worker that accepts, refuses or has room without having been asked changes nothing for anybody."""
    for source in FORGED:
        ask(cluster, "worker/1", CHANNELS + source)
        assert healthy(cluster)
    # The last answer is here before the primary has closed its copy of that connection.
    wait(lambda: [cluster.primary.pid, open_fds(cluster.primary.pid)] == pids, "as many descriptors", cluster)
    assert said(cluster, saw="cluster", event="exit") == []


@pytest.mark.cluster(**REMOTE)
def test_flood_of_packets(cluster: Cluster, pids: list[int]) -> None:
    """A worker that never stops saying that it has room gets its share of the primary and no more."""
    flood = """
import threading, gevent.monkey
def flood():
    try:
        packets.setblocking(True)
        while True:
            packets.sendall(struct.pack('!BI251x', 6, 0))
    except OSError:
        pass
gevent.monkey.get_original('_thread', 'start_new_thread')(flood, ())
result = True
"""
    assert ask(cluster, "worker/1", CHANNELS + flood)
    answers = [cluster.client.submit("/", timeout=60) for _ in range(20)]  # those of the first take their time
    cluster.wait_for(lambda _: 2 in {one.result().worker for one in answers if one.done()}, reason="worker 2")
    cluster.worker(1).kill()
    cluster.journal.wait_for("exit", worker=1)
    assert healthy(cluster)
    assert cluster.primary.pid == pids[0]


@pytest.mark.table(quick=["refused"], slow=["routed"])
@pytest.mark.cluster(**REMOTE)
@pytest.mark.parametrize("kind", [pytest.param(5, id="refused"), pytest.param(10, id="routed")])
def test_flood_of_connections_that_are_given_back(cluster: Cluster, pids: list[int], kind: int) -> None:
    """A worker that makes them itself is ended before the primary has no descriptor left, and clients are served."""
    flood = f"""
import array, gevent.monkey
one, two = socket.socketpair()
def flood():
    try:
        while True:
            try:  # on a thread of its own, where gevent cannot wait
                packets._sock.sendmsg(
                    [struct.pack('!BI251x', {kind}, 1)],
                    [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [one.fileno()]))],
                )
            except BlockingIOError:
                pass
    except OSError:
        pass
gevent.monkey.get_original('_thread', 'start_new_thread')(flood, ())
"""
    tell(cluster, "worker/1", CHANNELS + flood)
    assert wait_ended(cluster)[0]["worker"] == 1
    wait_logged(cluster, "gave back more connections than it was handed")
    assert healthy(cluster)
    wait(lambda: [cluster.primary.pid, open_fds(cluster.primary.pid)] == pids, f"pid and descriptors {pids}", cluster)


@pytest.mark.table(quick=["threads"])
@every_kind
@pytest.mark.cluster(**REMOTE, workers=2)
def test_garbage_that_a_worker_hands_on_ends_no_other(cluster: Cluster) -> None:
    """What comes with a connection makes no sense: the connection is closed, and its worker serves on."""
    pids = [one.pid for one in cluster.wait_listening()]
    hand_on = """
here, there = socket.socketpair()
memory = os.memfd_create("garbage")
os.write(memory, b"garbage")
result = this_birth().receiver.route(1, 2, here.fileno(), memory)
"""
    # Who was handed nothing has nothing to hand on, and is ended.
    cluster.wait_for(lambda _: cluster.get("/").worker == 1, reason="an answer of worker 1")
    assert ask(cluster, "worker/1", CHANNELS + hand_on)

    wait_logged(cluster, "Closed a connection of another worker: what a worker handed on makes no sense")
    assert healthy(cluster)
    assert [one.pid for one in cluster.wait_listening()] == pids


@pytest.mark.table(quick=[])
@pytest.mark.cluster(**REMOTE)
@pytest.mark.parametrize("heard", [True, False])
def test_flood_of_messages(cluster: Cluster, pids: list[int], heard: bool) -> None:
    """Large messages without end, heard or not, cost the primary neither its memory nor its service."""
    if not heard:
        tell(cluster, "primary", "cluster.remove_all_listeners('message'); say(deaf=1)")
        wait_said(cluster, deaf=1)
    flood = """
import gevent
sent = 0
def flood():
    global sent
    while process.connected:
        if process.send('x' * 1_000_000):
            gevent.sleep(0)
        else:
            gevent.sleep(0.001)
        sent += 1
        if sent == 400:
            say(sent=sent)
gevent.spawn(flood)
"""
    flooding = here(cluster, flood)["worker"]
    for _ in range(30):
        assert cluster.get("/", timeout=20).status == 200
    wait_said(cluster, sent=400)
    assert resident_bytes(pids[0]) < 200 * MEBIBYTE
    cluster.worker(flooding).kill()
    cluster.journal.wait_for("exit", worker=flooding)
    assert healthy(cluster)
    assert cluster.primary.pid == pids[0]


@pytest.mark.slow
@pytest.mark.cluster(**REMOTE)
def test_flood_of_small_messages(cluster: Cluster) -> None:
    """No turn of the primary's loop is longer than some thousand messages: connections come in between."""
    ask(cluster, "primary", COUNT_TURNS)
    flooding = here(cluster, CHANNELS + SMALL_FLOOD)["worker"]
    (line,) = wait(lambda: [one for one in said(cluster) if "most" in one], "a hundred thousand messages", cluster)
    assert {cluster.get("/", timeout=20).status for _ in range(20)} == {200}
    cluster.worker(flooding).kill()
    cluster.journal.wait_for("exit", worker=flooding)
    assert healthy(cluster)

    assert line["most"] < 5000


@pytest.mark.cluster(**REMOTE)
def test_message_that_is_never_finished(cluster: Cluster, pids: list[int]) -> None:
    """A header that promises 100 MiB costs what arrives, and nothing is left when the worker is gone."""
    before = resident_bytes(pids[0])
    promise = "messages.send(struct.pack('!IB', 100 * 1024 * 1024, 1) + b'['); say(promised=1)"
    tell(cluster, "worker/1", CHANNELS + promise)
    wait_said(cluster, promised=1)
    assert healthy(cluster)
    assert resident_bytes(pids[0]) - before < 20 * MEBIBYTE
    cluster.worker(1).kill()
    assert cluster.journal.wait_for("exit", worker=1).signal == "SIGKILL"
    assert healthy(cluster)


# Every way to start a process: those that become another program, and those that go on in a copy of this one.
PROGRAMS = """
import multiprocessing, socket, subprocess, sys, time
def program(): return os.execlp("sleep", "sleep", "300")
children = [
    subprocess.Popen(["sleep", "300"]).pid,
    subprocess.Popen(["sleep", "300"], close_fds=False).pid,
    os.posix_spawnp("sleep", ["sleep", "300"], os.environ),
    os.fork() or program(),
]
"""
COPIES = """
import signal
def wait():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    signal.sigwait([signal.SIGUSR2])
def copy():
    try:
        wait()
    finally:
        os._exit(0)
forked = multiprocessing.get_context("fork").Process(target=wait)
forked.start()
copies = [os.fork() or copy(), forked.pid]
"""
SPAWNED = """
spawned = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(300,))
spawned.start()
children.append(spawned.pid)
"""


def sockets_of(pid: int) -> set[str]:
    return {name for name in opened_by(pid) if name.startswith("socket:")}


@pytest.mark.cluster(**REMOTE)
def test_what_a_worker_starts_has_no_channel(cluster: Cluster) -> None:
    """No end of a channel, so nothing hides the worker's death; a program has no descriptor of ours at all."""
    inodes = "inodes = [os.fstat(s).st_ino for s in (cluster.worker._line._channel.fileno(), packets.fileno())]"
    source = f"{CHANNELS}\n{inodes}\nfor s in (messages, packets): s.close()\n{PROGRAMS}{COPIES}{SPAWNED}"
    programs, copies, channels = ask(cluster, "worker/1", source + "result = [children, copies, inodes]")
    with ExitStack() as stack:
        for child in programs + copies:
            stack.callback(os.kill, child, signal.SIGKILL)
        inherited = {f"socket:[{inode}]" for inode in channels} | sockets_of(cluster.primary.pid)
        for child in copies:
            wait(lambda child=child: not inherited & sockets_of(child), "a copy without channels", cluster)  # type: ignore[misc]
        for child in programs:
            wait(lambda child=child: not foreign(child), "a program without our descriptors", cluster)  # type: ignore[misc]

        cluster.worker(1).kill()
        disconnect = cluster.journal.wait_for("disconnect", worker=1)
        exit_ = cluster.journal.wait_for("exit", worker=1)
        assert disconnect.seq < exit_.seq
        assert healthy(cluster)
        assert all(os.path.exists(f"/proc/{child}") for child in programs)


def foreign(pid: int) -> list[str]:
    """What a program should not have: sockets, and what only the kernel has a name for."""
    return [name for name in opened_by(pid) if name.startswith(("socket:", "anon_inode:"))]


@pytest.mark.cluster(**REMOTE)
def test_what_a_handler_in_the_primary_starts_has_nothing_of_it(cluster: Cluster) -> None:
    """No channel, no listening socket, no epoll, even where it inherits whatever it can."""
    tell(cluster, "primary", PROGRAMS + "say(children=children)")
    (line,) = wait(lambda: [one for one in said(cluster) if "children" in one], "its children", cluster)
    with ExitStack() as stack:
        for child in line["children"]:
            stack.callback(os.kill, child, signal.SIGKILL)
        for child in line["children"]:
            wait(lambda child=child: not foreign(child), "a program without our descriptors", cluster)  # type: ignore[misc]
        assert healthy(cluster)


@pytest.mark.cluster(**REMOTE)
def test_grandchild_that_holds_a_channel_hides_nothing(cluster: Cluster) -> None:
    """Even a process that was given a worker's channel on purpose does not hide its death (Node: ``exit`` first)."""
    source = CHANNELS + (
        "import subprocess; fds = (messages.fileno(), packets.fileno())\n"
        "result = subprocess.Popen(['sleep', '300'], pass_fds=fds).pid"
    )
    child = ask(cluster, "worker/1", source)
    with ExitStack() as stack:
        stack.callback(os.kill, child, signal.SIGKILL)
        cluster.worker(1).kill()
        disconnect, exit_ = (cluster.journal.wait_for(event, worker=1) for event in ("disconnect", "exit"))
        assert disconnect.seq < exit_.seq
        assert healthy(cluster)


FEW_LEAVERS = "from nodecluster_compat.lifecycle import roster\nroster._LEAVERS = roster._LEAVERS_PER_PLACE = 0\n"


@pytest.mark.cluster(**{**REMOTE, "config": CONF + FEW_LEAVERS}, workers=2)
def test_worker_that_says_it_leaves_and_stays_fills_nothing(cluster: Cluster) -> None:
    """Each has a successor, so those that do not end are killed once they are too many; here one is."""
    tell(cluster, "worker/1", CHANNELS + "frame(5); packet(7)")
    assert cluster.journal.wait_for("exit", worker=1).signal == "SIGKILL"
    wait_logged(cluster, "said that it leaves and did not end, like too many others: killed")
    assert healthy(cluster)


@pytest.mark.cluster(**REMOTE)
def test_worker_that_asks_for_a_socket_of_gunicorns_is_ended(cluster: Cluster, pids: list[int]) -> None:
    """The primary, which may be root, binds what the configuration says, and gives no descriptor of its own away."""
    request = """json.dumps([1, {"address": None, "port": -1, "address_type": "udp4", "fd": 5}]).encode()"""
    tell(cluster, "worker/1", CHANNELS + f"import json; frame(6, {request})")
    wait_ended(cluster)
    wait_logged(cluster, "a worker asked for a socket, which gunicorn's settings alone say here")
    assert healthy(cluster)
    wait(lambda: [cluster.primary.pid, open_fds(cluster.primary.pid)] == pids, f"pid and descriptors {pids}", cluster)


SMALL_MESSAGES = "cluster.setup_primary(max_message_bytes=65536)\n"


@pytest.mark.cluster(**{**REMOTE, "config": CONF + SMALL_MESSAGES}, workers=2)
def test_limit_of_messages_is_the_primarys(cluster: Cluster) -> None:
    """``max_message_bytes``: a worker hears of it when it sends, and one that sends all the same is ended."""
    source = """
result = []
for size in (65534, 65535):
    try:
        process.send('x' * size)
    except Exception as error:
        result.append(str(error))
"""
    assert ask(cluster, "worker/1", source) == [
        "expected a message of at most 65536 bytes once encoded, got 65537: send it in parts"
    ]
    tell(cluster, "primary", "cluster.workers[1].send('x' * 100_000)")
    assert healthy(cluster)
    tell(cluster, "worker/1", CHANNELS + "messages.send(struct.pack('!IB', 65538, 1))")
    wait_ended(cluster)
    wait_logged(cluster, "a frame announces 65538 bytes")
    assert healthy(cluster)


@pytest.mark.cluster(**REMOTE)
def test_flood_of_descriptors(cluster: Cluster, pids: list[int]) -> None:
    """Announced or not, heard or not: the primary keeps a bounded number of them, and none of a worker that is gone."""
    flood = """
import array
ours = [array.array("i", [0, 1, 2, 0, 1][:n]) for n in (1, 2, 5)]
try:
    for turn in range(400):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, ours[turn % 3])]
        messages.sendmsg([struct.pack('!IB', 2, 1) + b'[]'], rights)
except OSError:
    pass
"""
    tell(cluster, "worker/1", CHANNELS + "messages.setblocking(True)\n" + flood)
    wait_ended(cluster)
    wait_logged(cluster, "descriptors came that no frame announced")
    assert healthy(cluster)
    wait(lambda: [cluster.primary.pid, open_fds(cluster.primary.pid)] == pids, f"pid and descriptors {pids}", cluster)


@pytest.mark.cluster(**REMOTE)
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param(
            {"settings": {"reuse_port": True}, "env": {"NODE_CLUSTER_SCHED_POLICY": "rr"}},
            "expected either reuse_port or round robin, got both",
            id="reuse_port and round robin",
        ),
        pytest.param(
            {"config": "from nodecluster_compat import cluster\ncluster.scheduling_policy = 3"},
            "expected cluster.scheduling_policy to be cluster.SCHED_RR",
            id="no such policy",
        ),
    ],
)
def test_settings_that_cannot_work(cluster_factory: ClusterFactory, changes: dict[str, Any], sentence: str) -> None:
    """The server does not start, and a sentence says why."""
    with pytest.raises(StartError, match=sentence):
        cluster_factory(**changes)
