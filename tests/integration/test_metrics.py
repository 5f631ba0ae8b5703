"""What workers count, as an operator sees it: while they serve, when they are blocked, when they have been killed."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import struct
import threading
from pathlib import Path

import pytest
from operator_desk import DOOR, Operator
from ports import free_port
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from remote_control import CONF, Gate, ask, here, wait

from pytest_cluster import Cluster, ClusterFactory

COUNT = "http_server_request_duration_seconds_count"
STORM = "cluster.setup_primary(restart_intensity=1000, restart_delay=0)\n"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
ADMIN = "cluster.setup_primary(admin='127.0.0.1:0')\n"
REMOTE = {"app": "remote:app", "config": CONF + DOOR, "fresh": True}


def get(operator: Operator, path: str, accept: str = "*/*") -> tuple[int, str]:
    """Ask the control socket by HTTP."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(operator.path)
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n".encode())
        answer = http.client.HTTPResponse(client)
        answer.begin()
        return answer.status, answer.read().decode()


def scrape(operator: Operator) -> dict[str, float]:
    """Samples by name and labels, as a scraper reads them; OpenMetrics has the same."""
    status, text = get(operator, "/metrics")
    assert status == 200
    assert [*parse_openmetrics(get(operator, "/metrics", OPENMETRICS)[1])]
    found: dict[str, float] = {}
    for family in parse_text(text):
        for one in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(one.labels.items()))
            found[f"{one.name}{{{labels}}}" if labels else one.name] = one.value
    return found


def count_of(method: str, status: int) -> str:
    return f"{COUNT}{{http_request_method={method},http_response_status_code={status}}}"


def requests_in(samples: dict[str, float]) -> float:
    return sum(
        value for name, value in samples.items() if name.startswith("http_server_request_duration_seconds_count")
    )


@pytest.mark.cluster(app="sleepy:app", config=DOOR, fresh=True, workers=2)
def test_requests_are_counted(cluster: Cluster) -> None:
    """By method and status, with their durations; the status has the same numbers."""
    operator = Operator(cluster)
    assert requests_in(scrape(operator)) == 0
    for _ in range(3):
        cluster.get("/")
    cluster.request("BREW", "/")
    cluster.request("HEAD", "/")
    wait(lambda: requests_in(scrape(operator)) == 5, "five requests", cluster)
    samples = scrape(operator)
    assert samples[count_of("GET", 200)] == 3
    assert samples[count_of("HEAD", 200)] == 1
    assert samples["nodecluster_connections_total{result=taken}"] >= 5
    assert samples["nodecluster_workers{state=listening}"] == 2
    assert samples["nodecluster_worker_resident_memory_bytes{slot=1}"] > 1024 * 1024
    status = operator.get("status")
    assert status["totals"]["requests"] == 5
    assert sum(one["requests"] for one in status["workers"]) == 5
    assert status["totals"]["responses"]["2xx"] + status["totals"]["responses"]["4xx"] == 5
    durations = status["totals"]["durations"]
    assert (sum(durations["counts"]), len(durations["counts"])) == (5, len(durations["bounds"]) + 1)
    assert status["totals"]["reloads"] == {"succeeded": 0, "failed": 0, "superseded": 0}
    assert get(operator, "/nothing")[0] == 404


class Client(threading.Thread):
    """Asks on a connection that it keeps, and counts what is answered, until it is told to stop."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(daemon=True)
        self.port = cluster.port
        self.answers = 0
        self.is_stopping = False

    def run(self) -> None:
        while not self.is_stopping:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            try:
                while not self.is_stopping:
                    connection.request("GET", "/")
                    answer = connection.getresponse()
                    assert answer.status == 200
                    answer.read()
                    self.answers += 1
            except (OSError, http.client.HTTPException):
                connection.close()
            else:
                connection.close()


@pytest.mark.slow
@pytest.mark.cluster(app="pid_echo:app", config=DOOR + STORM, fresh=True, workers=3)
def test_counts_are_exact_under_a_storm_of_kills(cluster: Cluster) -> None:
    """What clients have seen is counted, less what was in flight when a worker died; and nothing goes back."""
    operator = Operator(cluster)
    clients = [Client(cluster) for _ in range(4)]
    for client in clients:
        client.start()

    def seen() -> int:
        return sum(client.answers for client in clients)

    before = 0.0
    for kills in range(1, 11):
        target = seen() + 20
        wait(lambda target=target: seen() >= target, "further answers", cluster)
        os.kill(next(one.pid for one in cluster.workers if one.state == "listening"), signal.SIGKILL)
        wait(
            lambda kills=kills: operator.get("status")["totals"]["exits"]["killed_from_outside"] == kills,
            "the end of the worker",
            cluster,
        )
        cluster.wait_listening(3)
        counted = requests_in(scrape(operator))
        assert counted >= before
        before = counted
    for client in clients:
        client.is_stopping = True
    for client in clients:
        client.join(20)
    wait(lambda: not scrape(operator)["http_server_active_requests"], "quiet", cluster)
    samples = scrape(operator)
    counted, lost = requests_in(samples), samples["nodecluster_requests_lost_total"]
    assert counted <= seen() <= counted + lost
    assert samples["nodecluster_worker_exits_total{reason=killed_from_outside}"] == 10
    assert samples["nodecluster_worker_cpu_seconds_total"] > 0


@pytest.mark.cluster(**REMOTE, workers=2)
def test_blocked_worker_is_counted_and_its_request_named(cluster: Cluster, tmp_path: Path) -> None:
    """Nobody asks the worker: its numbers are there, and so is the request that holds it up, with its line of code."""
    operator, gate = Operator(cluster), Gate(tmp_path)
    with cluster.connect() as client:
        body = f"def stand(): {gate.source}stand()".encode()
        client.sendall(b"POST /here?secret HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        pid = gate.entered(cluster)
        [one] = operator.get("requests")["requests"]
        assert (one["pid"], one["method"], one["path"]) == (pid, "POST", "/here")
        assert one["client"] == "{}:{}".format(*client.getsockname())
        assert one["worker_at"].endswith("in stand")
        worker = next(each for each in operator.get("workers")["workers"] if each["pid"] == pid)
        assert worker["active_requests"] == 1
        assert worker["oldest_request_seconds"] > 0
        assert scrape(operator)["http_server_active_requests"] == 1
        assert "/here" in operator.run("requests", str(worker["slot"]))[1]
        gate.open()
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
    wait(lambda: not operator.get("requests")["requests"], "its end", cluster)
    assert operator.run("requests")[1] == "no request is in flight\n"


NONSENSE = """
from nodecluster_compat.operations.metrics.this_meter import this_meter
if "view" not in globals():
    view = this_meter()._view
    this_meter().abandon()  # or its own arithmetic fails, and it answers nothing any more
size = {size}
view[:size] = os.urandom(size) if {random} else b"\\xff" * size
"""


@pytest.mark.table(quick=["True"])
@pytest.mark.cluster(**REMOTE, workers=2)
@pytest.mark.parametrize("random", [True, False])
def test_worker_that_writes_nonsense_lies_about_itself_only(cluster: Cluster, random: bool) -> None:
    """The primary serves on, sums stay sane, and what it had counted before stays."""
    operator = Operator(cluster)
    for _ in range(10):
        cluster.get("/")
    wait(lambda: requests_in(scrape(operator)) == 10, "ten requests", cluster)
    for size in (512, 32 * 1024, 600 * 1024, 3 * 1024 * 1024):
        here(cluster, NONSENSE.format(size=size, random=random))
        samples = scrape(operator)
        assert 10 <= requests_in(samples) < 1_000_000
        assert all(value == value and abs(value) < 1e30 for value in samples.values())  # noqa: PLR0124 - no NaN
        assert json.loads(get(operator, "/status.json")[1])["totals"]["requests"] >= 10
        operator.get("requests")
    for worker in cluster.workers:
        os.kill(worker.pid, signal.SIGKILL)
    wait(lambda: operator.get("status")["totals"]["exits"]["killed_from_outside"] == 2, "their ends", cluster)
    cluster.wait_listening(2)
    assert 10 <= requests_in(scrape(operator)) < 1_000_000
    assert "Traceback" not in cluster.log


MINE = """
from nodecluster_compat.metrics import share_prometheus_metrics
share_prometheus_metrics()
"""
JOBS = """
from prometheus_client import REGISTRY, Counter, Gauge
if "jobs" not in REGISTRY._names_to_collectors:
    jobs = Counter("jobs", "Jobs.", ["kind"])
    busy = Gauge("busy", "Busy.", multiprocess_mode="livesum")
jobs.labels("a").inc(exemplar={"trace_id": "t1"})
busy.inc()
"""


@pytest.mark.cluster(**{**REMOTE, "config": CONF + DOOR + MINE}, workers=2)
def test_metrics_of_the_application_are_those_of_all_workers(cluster: Cluster) -> None:
    """Made in the workers, whichever serves; a worker that is killed has counted, and no file is left."""
    operator = Operator(cluster)
    for _ in range(4):
        here(cluster, JOBS)
    samples = scrape(operator)
    assert (samples["jobs_total{kind=a}"], samples["busy"]) == (4, 4)
    assert '# {trace_id="t1"} 1.0 ' in get(operator, "/metrics", OPENMETRICS)[1]
    cluster.workers[0].kill("KILL")
    wait(lambda: operator.get("status")["totals"]["exits"]["killed_from_outside"] == 1, "its end", cluster)
    cluster.wait_listening(2)
    samples = scrape(operator)
    assert samples["jobs_total{kind=a}"] == 4
    assert samples["busy"] == 2


@pytest.mark.cluster(app="pid_echo:app", config=DOOR + ADMIN, fresh=True, workers=1)
def test_admin_address_can_be_read_and_changes_nothing(cluster: Cluster) -> None:
    """By GET and HEAD; commands are refused, and clients that are slow or silent hold up nobody."""
    address = admin_of(cluster)
    with socket.create_connection(address, 20) as silent, socket.create_connection(address, 20) as slow:
        slow.sendall(b"GET /metr")
        for sent in (b"", b"GET / HT", b"GET / HTTP/1.1\r\n\r\n", b"GET /status.json HTTP/1.1\r\n\r\n") * 5:
            leave(address, sent)
        for path, expected in (("/livez", 200), ("/readyz", 200), ("/status.json", 200), ("/", 200), ("/x", 404)):
            assert asked(address, "GET", path)[0] == expected
        status, body = asked(address, "GET", "/metrics")
        assert (status, b"nodecluster_workers_target 1\n" in body) == (200, True)
        assert asked(address, "HEAD", "/metrics") == (200, b"")
        assert asked(address, "POST", "/metrics")[0] == 405
        assert asked(address, "DELETE", "/")[0] == 405
        silent.sendall(b"\0\0\0\x1d" + b'{"id":1,"command":"shutdown"}')
        assert b"commands are for the control socket" in silent.recv(65536)
    assert "Traceback" not in cluster.log


def leave(address: tuple[str, int], sent: bytes) -> None:
    """Be a browser that leaves: what it has asked is not read, and the connection is reset."""
    with socket.create_connection(address, 20) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(sent)


def admin_of(cluster: Cluster) -> tuple[str, int]:
    line = wait(
        lambda: next((one for one in cluster.log.splitlines() if "Admin address: " in one), None), "it", cluster
    )
    host, _, port = line.rpartition("http://")[2].strip("/").rpartition(":")
    return host, int(port)


def asked(address: tuple[str, int], method: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(*address, timeout=20)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_admin_address_of_somebody_else(cluster_factory: ClusterFactory) -> None:
    """It is said in a sentence; the server serves, and has the address once it is free."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        config = f"{DOOR}cluster.setup_primary(admin='127.0.0.1:{port}')\n"
        cluster = cluster_factory(app="pid_echo:app", config=config, workers=1)
        wait(lambda: "Address already in use" in cluster.log, "the sentence", cluster)
        assert cluster.get("/").status == 200
    wait(lambda: f"Admin address: http://127.0.0.1:{port}/" in cluster.log, "the address", cluster)
    assert asked(("127.0.0.1", port), "GET", "/livez")[0] == 200
    assert cluster.log.count("No admin address for now") == 1


@pytest.mark.cluster(**{**REMOTE, "config": CONF + DOOR + ADMIN}, workers=1)
def test_admin_address_that_is_changed(cluster: Cluster) -> None:
    """Also by a program, while the server runs; one that cannot be is refused."""
    first = admin_of(cluster)
    refused = ask(
        cluster,
        "primary",
        "try:\n    cluster.settings.admin = 'example.com:80'\nexcept ValueError as error: result = str(error)",
    )
    assert refused.startswith("expected admin to be an address and a port, such as")
    ask(cluster, "primary", "cluster.settings.admin = None")

    def is_closed() -> bool:
        try:
            asked(first, "GET", "/livez")
        except OSError:
            return True
        return False

    wait(is_closed, "the end of the address", cluster)


KINDS = [
    ("nodecluster_compat.ThreadWorker", "pid_echo:app", "/"),
    ("nodecluster_compat.ASGIWorker", "asgi_app:app", "/state"),
]


@pytest.mark.parametrize(("kind", "app", "path"), KINDS)
def test_other_kinds_of_workers_count_the_same(cluster_factory: ClusterFactory, kind: str, app: str, path: str) -> None:
    """Requests, connections and bytes, whoever serves."""
    cluster = cluster_factory(app=app, worker_class=kind, config=CONF + DOOR, workers=2)
    operator = Operator(cluster)
    size = sum(len(cluster.get(path).body) for _ in range(5))
    wait(lambda: requests_in(scrape(operator)) == 5, "five requests", cluster)
    samples = scrape(operator)
    assert samples[count_of("GET", 200)] == 5
    assert samples["nodecluster_response_body_bytes_total"] == size
    assert samples["nodecluster_connections_total{result=taken}"] >= 5
    assert samples["http_server_active_requests"] == 0
    assert operator.get("requests") == {"requests": []}


@pytest.mark.slow
def test_new_master_has_the_admin_address(cluster_factory: ClusterFactory) -> None:
    """As soon as it is ready, and without a complaint; the old one gives it up."""
    cluster = cluster_factory(app="pid_echo:app", config=DOOR + ADMIN.replace(":0", f":{free_port()}"), workers=1)
    address = admin_of(cluster)

    def pid_that_answers() -> int:
        try:
            return int(json.loads(asked(address, "GET", "/status.json")[1])["pid"])
        except OSError:
            return 0

    old = pid_that_answers()
    assert old == cluster.primary.pid
    cluster.primary.signal("SIGUSR2")
    new = wait(lambda: pid_that_answers() not in (0, old) and pid_that_answers(), "the new master's answer", cluster)
    os.kill(new, signal.SIGTERM)
    wait(lambda: pid_that_answers() == old, "the old master's answer", cluster)
    assert "No admin address" not in cluster.log
