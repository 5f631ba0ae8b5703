"""``bind`` and its companions: abstract and inherited sockets, the backlog, SO_REUSEPORT, and what a reload keeps."""

from __future__ import annotations

import os
import re
import signal
import socket
from pathlib import Path

import pytest
from ports import free_port
from raw_http import APPS, CHANGE, GUNICORN, HEAD, Server, environ_of, exchange, folder_of, send, serving, until
from remote_control import opened_by, wait

from nodecluster_compat.machine.unpaced import control_of
from pytest_cluster import Cluster, ClusterFactory

WORKER_OPTIONS = ["-k", "nodecluster_compat.Worker", "-w", "2", "--pythonpath", str(APPS)]

# 9th 32-bit word of struct tcp_info: for a listening socket, how long its queue may get.
TELL_BACKLOG = """
import socket, struct
def when_ready(server):
    info = server.LISTENERS[0].sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    server.log.info("the backlog is %d", struct.unpack("8B24I", info)[13])
"""


def listening_sockets(cluster: Cluster) -> set[str]:
    """The sockets of the primary that the kernel calls listening, by inode."""
    table = Path(f"/proc/{cluster.primary.pid}/net/tcp").read_text().splitlines()[1:]
    listening = {f"socket:[{line.split()[9]}]" for line in table if line.split()[3] == "0A"}
    return listening & set(opened_by(cluster.primary.pid))


def body_at(server: Server, family: int, address: object) -> bytes:
    """The body of one answer; the server may still be booting."""
    client = socket.socket(family)
    client.settimeout(20)
    try:
        client.connect(address)  # type: ignore[arg-type]
    except OSError:
        client.close()
        assert server.process.poll() is None, server.log
        return b""
    return exchange(client, b"GET / HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")[2]


@pytest.mark.cluster(workers=2, settings={"bind": f"unix:\0nodecluster-test-{os.getpid()}"})
def test_abstract_unix_socket_is_dealt_and_let_go(cluster: Cluster) -> None:
    """No file, the same turns; the name is free again at the end."""
    assert str(cluster.address).startswith("\0nodecluster-test-")
    assert {cluster.get("/").json()["worker"] for _ in range(2)} == {1, 2}
    assert cluster.stop() == 0
    assert "Traceback" not in cluster.log
    with socket.socket(socket.AF_UNIX) as again:
        again.bind(str(cluster.address))


@pytest.mark.cluster(workers=2, app="echo:app", settings={"bind": "unix:peer.sock"})
def test_unix_peer_is_trusted_and_has_no_address(cluster: Cluster) -> None:
    """gunicorn trusts who can reach the file; the peer's address is empty, the server is the path."""
    told = environ_of(send(cluster, HEAD + b"X-Forwarded-Proto: https\r\n\r\n"))
    assert (told["REMOTE_ADDR"], told["wsgi.url_scheme"]) == ("", "https")
    assert "REMOTE_PORT" not in told


@pytest.mark.cluster(workers=2, app="echo:app", settings={"bind": "[::1]:0"})
def test_ipv6_peer_and_server_are_told(cluster: Cluster) -> None:
    """The four-tuple of IPv6 becomes an address and a port."""
    told = environ_of(send(cluster, b"GET / HTTP/1.0\r\n\r\n"))
    assert (told["REMOTE_ADDR"], told["SERVER_NAME"], told["SERVER_PORT"]) == ("::1", "::1", str(cluster.port))


@pytest.mark.cluster(workers=1, settings={"backlog": 17}, config=TELL_BACKLOG)
def test_backlog_is_the_kernels(cluster: Cluster) -> None:
    """The queue in the kernel is as long as asked for."""
    (told,) = re.findall(r"the backlog is (\d+)", cluster.log)
    assert told == "17"


def test_reuse_port_lets_the_kernel_choose(cluster_factory: ClusterFactory) -> None:
    """Every worker has a socket of its own on the one port; HUP and TERM work as they do elsewhere."""
    server = cluster_factory(workers=2, settings={"reuse_port": True, "bind": f"127.0.0.1:{free_port()}"})
    assert {server.get("/").status for _ in range(8)} == {200}
    seen = server.journal.last_seq
    server.primary.signal("SIGHUP")
    for worker in (1, 2):
        server.journal.wait_for("exit", worker=worker, after=seen)
    assert {server.get("/").json()["worker"] for _ in range(8)} <= {3, 4}
    assert server.stop() == 0
    assert "Traceback" not in server.log


@pytest.mark.cluster(workers=2, config=CHANGE)
def test_reload_keeps_the_sockets_that_stay_the_same(cluster: Cluster) -> None:
    """A HUP that changes something else leaves the listening socket, and so its backlog, alone."""
    before = listening_sockets(cluster)
    assert len(before) == 1
    (folder_of(cluster) / "second").write_text("keepalive = 5\n")
    seen = cluster.journal.last_seq
    cluster.primary.signal("SIGHUP")
    for worker in (1, 2):
        cluster.journal.wait_for("exit", worker=worker, after=seen)
    assert listening_sockets(cluster) == before


@pytest.mark.cluster(workers=2, settings={"bind": "unix:first.sock"}, config=CHANGE)
def test_reload_from_a_unix_socket_to_tcp_and_back(cluster: Cluster) -> None:
    """Both changes are served, and each new address is listened on by both workers."""
    for turn, bind in enumerate(("127.0.0.1:0", "unix:again.sock")):
        seen = cluster.journal.last_seq
        (folder_of(cluster) / "second").write_text(f"bind = {bind!r}\n")
        cluster.primary.signal("SIGHUP")
        for worker in (2 * turn + 1, 2 * turn + 2):
            cluster.journal.wait_for("exit", worker=worker, after=seen)
    path = folder_of(cluster) / "again.sock"
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(path))
        assert exchange(client, b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 200")
    assert cluster.stop() == 0
    assert not path.exists()


@pytest.mark.slow
def test_two_inherited_sockets_are_served(tmp_path: Path) -> None:
    """``fd://`` twice: TCP and unix, bound by somebody else, who keeps the file and goes on with the sockets."""
    path = str(tmp_path / "s")
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(path)
        unix.listen()
        fds = [tcp.fileno(), unix.fileno()]
        command = [GUNICORN, "-b", f"fd://{fds[0]}", "-b", f"fd://{fds[1]}", *WORKER_OPTIONS, "pid_echo:app"]
        with serving(tmp_path, command, pass_fds=fds) as server:
            for family, address in ((socket.AF_INET, tcp.getsockname()), (socket.AF_UNIX, path)):
                answers: set[bytes] = set()
                while len(answers) < 2:
                    answers.add(body_at(server, family, address))
                assert b"" not in answers
        for family, address in ((socket.AF_INET, tcp.getsockname()), (socket.AF_UNIX, path)):
            with socket.socket(family) as client:
                client.settimeout(20)
                client.connect(address)


@pytest.mark.slow
def test_own_socket_beside_an_inherited_one_goes_with_the_server(tmp_path: Path) -> None:
    """A reload adds it: its path is removed at the end, whoever gave the other socket has that back."""
    path = tmp_path / "own.sock"
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        bind = f"fd://{tcp.fileno()}"
        (tmp_path / "gunicorn.conf.py").write_text(f"bind = [{bind!r}]\n{CHANGE}")
        with serving(tmp_path, [GUNICORN, *WORKER_OPTIONS, "pid_echo:app"], pass_fds=[tcp.fileno()]) as server:
            until(lambda: body_at(server, socket.AF_INET, tcp.getsockname()), "an answer")
            (tmp_path / "second").write_text(f"bind = [{bind!r}, 'unix:own.sock']\n")
            server.process.send_signal(signal.SIGHUP)
            until(lambda: path.exists() and body_at(server, socket.AF_UNIX, str(path)), "an answer on the new socket")
        with socket.create_connection(tcp.getsockname(), 20):
            assert not path.exists()


def test_address_in_use_ends_the_start(tmp_path: Path) -> None:
    """gunicorn's sentence and exit code 1, and nothing of ours in between."""
    path = tmp_path / "file"
    path.write_text("not a socket")
    command = [GUNICORN, "-b", f"unix:{path}", *WORKER_OPTIONS, "pid_echo:app"]
    with pytest.raises(AssertionError, match="is not a socket"), serving(tmp_path, command) as server:
        until(lambda: server.process.poll() is not None, "the end of the server")
    assert path.read_text() == "not a socket"


@pytest.mark.cluster(workers=1, settings={"bind": "unix:kept.sock", "pidfile": "pid"})
def test_unix_socket_survives_a_new_master(cluster: Cluster) -> None:
    """After USR2 the old master's end leaves the file to the new one, whose end removes it."""
    path = Path(str(cluster.address))
    folder = folder_of(cluster)
    cluster.primary.signal("SIGUSR2")
    (new,) = wait(
        lambda: [entry for entry in cluster.journal.later if entry.event == "listening"], "a new worker", cluster
    )
    master = int((folder / "pid.2").read_text())
    cluster.stop()
    assert path.is_socket()
    assert cluster.get("/").json()["pid"] == new.pid
    os.kill(master, 15)
    wait(lambda: not path.exists(), "the removal of the file", cluster)


# What the system has stands for BBR: it is BBR on few hosts.
UNPACED = """
import os
import socket
from nodecluster_compat.machine import unpaced

with socket.socket() as probe:
    unpaced._PACED = own = unpaced.control_of(probe)

def when_ready(server):
    if "PACED" in os.environ and "GUNICORN_PID" not in os.environ:
        for listener in server.LISTENERS:
            listener.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, own)

def pre_fork(server, worker):
    tcp = [listener.sock for listener in server.LISTENERS if listener.sock.family != socket.AF_UNIX]
    controls = [unpaced.control_of(sock).decode() for sock in tcp]
    server.log.info("worker %d of %d has %s", worker.age, os.getpid(), " ".join(controls))
"""


def controls_told(cluster: Cluster) -> list[str]:
    """The congestion controls of the listening sockets, at each fork."""
    return re.findall(r"worker \d+ of \d+ has (.+)", cluster.log)


def reload_to(cluster: Cluster, bind: str) -> None:
    seen = cluster.journal.last_seq
    (folder_of(cluster) / "second").write_text(f"bind = {bind}\n")
    cluster.primary.signal("SIGHUP")
    cluster.journal.wait_for("listening", after=seen)


@pytest.mark.cluster(workers=1, config=UNPACED + CHANGE)
def test_clients_of_this_host_are_not_paced(cluster: Cluster) -> None:
    """Reno stands in for the system's choice from the start, and on an address that a reload adds."""
    assert controls_told(cluster) == ["reno"]
    reload_to(cluster, "['127.0.0.1:0', 'unix:s', '127.0.0.2:0']")
    assert controls_told(cluster)[1:] == ["reno reno"]


@pytest.mark.cluster(workers=1, config=UNPACED + CHANGE, env={"PACED": "1"})
def test_pacing_that_when_ready_asks_for_stays(cluster: Cluster) -> None:
    """A reload leaves it alone, and so does a new master, whose own hook says nothing."""
    with socket.socket() as probe:
        own = control_of(probe).decode()
    reload_to(cluster, "['127.0.0.1:0', '127.0.0.2:0']")
    assert controls_told(cluster) == [own, f"{own} reno"]
    cluster.primary.signal("SIGUSR2")
    wait(lambda: "is ready. TERM to this one completes the upgrade" in cluster.log, "the new master", cluster)
    assert controls_told(cluster)[2:] == [f"{own} reno"]
    (master,) = {int(pid) for pid in re.findall(r"worker \d+ of (\d+) has", cluster.log)} - {cluster.primary.pid}
    os.kill(master, signal.SIGTERM)
    until(lambda: not os.path.exists(f"/proc/{master}"), "the end of the new master")


@pytest.mark.cluster(workers=1, config=UNPACED + CHANGE, env={"PACED": "1", "NODE_CLUSTER_SCHED_POLICY": "none"})
def test_pacing_stays_at_a_reload_where_workers_accept(cluster: Cluster) -> None:
    with socket.socket() as probe:
        own = control_of(probe).decode()
    reload_to(cluster, "['127.0.0.1:0', '127.0.0.2:0']")
    assert controls_told(cluster) == [own, f"{own} reno"]
