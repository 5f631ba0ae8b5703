"""Logs, statsd and syslog say what they say with the stock worker."""

from __future__ import annotations

import re
import socket
from base64 import b64encode
from pathlib import Path
from typing import Final

import pytest
from raw_http import CLOSE, GET, folder_of, send
from remote_control import wait, wait_logged

from pytest_cluster import Cluster, ClusterFactory

FORMAT = (
    '%(h)s %(l)s %(u)s "%(r)s" %(s)s %(m)s %(U)s %(q)s %(H)s %(b)s %(B)s "%(f)s" "%(a)s" %({x-a}i)s %({content-type}o)s'
    " %({server_software}e)s %({missing}i)s"
)
REQUESTS = [
    GET % (b"/plain?x=%20", CLOSE + b'User-Agent: "quoted"\r\nReferer: http://a/\r\nX-A: 1\r\n'),
    GET % (b"/stream", CLOSE + b"Authorization: Basic YWRhOnNlY3JldA==\r\n"),
    GET % (b"/empty", b"") + GET % (b"/large", CLOSE),
    GET % (b"/write", CLOSE),
    GET % (b"/disk", CLOSE),
    b"HEAD / HTTP/1.0\r\n\r\n",
    GET % (b"/raise", CLOSE),
    GET % (b"/", b"No colon here\r\n"),
    GET % (b"/", b"X-A: " + b"a" * 9000 + b"\r\n"),
    b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n",
    b"nonsense\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    GET % (b"/last", CLOSE),
]


def without_what_differs(log: str) -> list[str]:
    """Lines of an error log without time, pid, level of the start, and paths within tracebacks."""
    lines = [re.sub(r"^\[[^]]*] \[\d+] ", "", line) for line in log.splitlines()]
    return [line for line in lines if line.startswith(("[WARNING]", "[ERROR]", "ValueError"))]


def test_access_and_error_logs_are_those_of_the_stock_worker(cluster_factory: ClusterFactory) -> None:
    """Every atom, and what is said about bad requests and exceptions."""
    settings = {"accesslog": "access.log", "errorlog": "error.log", "access_log_format": FORMAT, "graceful_timeout": 2}
    logs = []
    for worker_class in ("nodecluster_compat.Worker", "gevent"):
        server = cluster_factory(workers=1, app="parity:app", settings=settings, worker_class=worker_class)
        folder = folder_of(server)
        for request in REQUESTS:
            send(server, request)
        access = folder / "access.log"
        wait(lambda access=access: " /last " in access.read_text(), "the last request", server)
        # The fixture asks the stock server whether it is ready by a request of its own.
        lines = [line for line in access.read_text().splitlines() if "GET / HTTP/1.1 200" not in line.replace('"', "")]
        logs.append((lines, without_what_differs((folder / "error.log").read_text())))
    assert logs[0] == logs[1]
    assert len(logs[0][0]) >= 9
    assert len(logs[0][1]) >= 5


@pytest.mark.cluster(
    workers=1,
    app="pid_echo:app",
    settings={"logger_class": "own_logger.OwnLogger", "accesslog": "-", "access_log_format": "%(own)s %(U)s"},
)
def test_logger_of_ones_own_is_asked_for_everything(cluster: Cluster) -> None:
    """Its atoms and its count of requests, in the worker; USR1 reaches it in both processes."""
    for _ in range(3):
        cluster.get("/path")
    wait(lambda: "request-3 /path" in cluster.log, "three lines", cluster)
    cluster.primary.signal("SIGUSR1")
    wait(lambda: cluster.log.count("files were reopened") == 2, "both processes", cluster)


LOGCONFIG = """
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"own": {"format": "OWN %(name)s %(message)s"}},
    "handlers": {"own": {"class": "logging.StreamHandler", "formatter": "own", "stream": "ext://sys.stdout"}},
    "root": {"level": "INFO", "handlers": ["own"]},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": ["own"], "propagate": False},
        "gunicorn.access": {"level": "INFO", "handlers": ["own"], "propagate": False},
    },
}
"""


@pytest.mark.cluster(workers=2, config=LOGCONFIG)
def test_logconfig_is_obeyed_in_every_process(cluster: Cluster) -> None:
    """Lines of the primary, of workers and of requests in the format of the user."""
    assert cluster.get("/found").status == 200
    wait(lambda: "OWN gunicorn.access 127.0.0.1" in cluster.log, "the request", cluster)
    wait_logged(cluster, "OWN gunicorn.error Booting worker")
    cluster.primary.signal("SIGHUP")
    for worker in (1, 2):
        cluster.journal.wait_for("exit", worker=worker)
    wait_logged(cluster, "OWN gunicorn.error Handling signal: hup")


def receive(sock: socket.socket, *wanted: bytes) -> bytes:
    """Read datagrams until every wanted piece has come; return them all."""
    received = b""
    while not all(piece in received for piece in wanted):
        received += sock.recv(65536) + b"\n"
    return received


def test_syslog_gets_both_logs(cluster_factory: ClusterFactory) -> None:
    """The error log of both processes and the access log, with the prefix."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as syslog:
        syslog.bind(("127.0.0.1", 0))
        syslog.settimeout(20)
        address = f"udp://127.0.0.1:{syslog.getsockname()[1]}"
        server = cluster_factory(settings={"syslog": True, "syslog_addr": address, "syslog_prefix": "mine"}, workers=1)
        server.get("/found")
        received = receive(syslog, b"mine.access", b"GET /found", b"Booting worker")
    assert b"gunicorn.mine.error" in received


def test_statsd_has_prefix_tags_and_gauge(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    """The gauge follows the workers; each request, its time and its status come from the worker."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.settimeout(20)
        settings = {
            "statsd_host": f"127.0.0.1:{statsd.getsockname()[1]}",
            "statsd_prefix": "mine",
            "dogstatsd_tags": "a:b",
        }
        server = cluster_factory(settings=settings, workers=2)
        receive(statsd, b"mine.gunicorn.workers:2|g|#a:b")
        assert send(server, GET % (b"/", b"") * 4 + GET % (b"/", CLOSE)).count(b"HTTP/1.1 200 OK") == 5
        received = b""
        while received.count(b"mine.gunicorn.request.status.200:1|c") < 5:
            received += receive(statsd, b"mine.gunicorn.request.status.200:1|c")
        assert received.count(b"mine.gunicorn.requests:1|c|@1.0|#a:b") == 5
        assert received.count(b"mine.gunicorn.request.duration:") == 5
        server.primary.signal("SIGTTIN")
        receive(statsd, b"mine.gunicorn.workers:3|g")
        server.wait_listening(3)
        server.primary.signal("SIGTTOU")
        receive(statsd, b"mine.gunicorn.workers:2|g")


@pytest.mark.cluster(workers=2, app="parity:app", settings={"accesslog": "access.log", "access_log_format": "%(p)s"})
def test_usr1_reopens_the_workers_logs(cluster: Cluster) -> None:
    """After a rotation every worker writes its requests to the new file."""
    log = folder_of(cluster) / "access.log"
    log.rename(log.with_suffix(".1"))
    cluster.primary.signal("SIGUSR1")
    wait(log.exists, "the new file", cluster)

    def both_write() -> bool:
        cluster.get("/")
        return set(re.findall(r"\d+", log.read_text())) == {str(one.pid) for one in cluster.workers}

    wait(both_write, "a line of each worker", cluster)


FORGED: Final = "joe\r\n10.0.0.1 - admin"
ALL_ATOMS: Final = "%(h)s %(u)s %(r)s %(U)s %(q)s %(f)s %(a)s %({x-one}i)s %({x-two}o)s %({path_info}e)s end"
FORGING: Final = b"\x85".join([b"X-One: a", b"b\x9b"])


@pytest.mark.table(quick=["nodecluster_compat.Worker"])
@pytest.mark.parametrize("worker_class", ["nodecluster_compat.Worker", "nodecluster_compat.Worker, accepting itself"])
def test_client_forges_no_line_of_the_access_log(cluster_factory: ClusterFactory, worker_class: str) -> None:
    """Whatever it sends, decoded or not: gunicorn escapes quotation marks only."""
    env = {"NODE_CLUSTER_SCHED_POLICY": "none"} if "accepting" in worker_class else {}
    settings = {"accesslog": "access.log", "access_log_format": ALL_ATOMS}
    server = cluster_factory(workers=1, app="parity:app", settings=settings, env=env)
    user = b64encode(f"{FORGED}:password".encode())
    fields = [b"Authorization: Basic " + user, FORGING, b"Referer: \x85here", b"User-Agent: \xc2\x9b2J", CLOSE.strip()]
    send(server, GET % (b"/a%0d%0aforged%00%c2%85?q=%0a", b"\r\n".join(fields) + b"\r\n"))
    access = folder_of(server) / "access.log"
    wait(lambda: "forged" in access.read_text(errors="replace"), "the request", server)
    with access.open("rb") as file:
        [line] = [one for one in file.read().decode().splitlines() if "forged" in one]
    assert "joe\\x0d\\x0a10.0.0.1 - admin" in line
    assert "/a\\x0d\\x0aforged\\x00" in line
    assert "a\\x85b\\x9b" in line
    assert line.endswith(" end")
    assert not any(ord(one) < 32 or 127 <= ord(one) < 160 for one in line)
