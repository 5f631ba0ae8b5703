"""Each recipe of ``docs/recipes.md``, as the page has it, with the real library and the real server behind it."""

from __future__ import annotations

import gzip
import json
import os
import signal
import threading
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
import redis
from recipes import PATIENCE, PROGRAMS, Collector, Start
from websocket_client import WebSocketClient

from pytest_cluster import Cluster
from pytest_cluster.waiting import poll

pytestmark = pytest.mark.timeout(120)
BOTH_WAYS = pytest.mark.parametrize("preloaded", [False, True], ids=["forked", "preloaded"])


def texts(cluster: Cluster, count: int, path: str = "/") -> list[str]:
    return [cluster.get(path).text for _ in range(count)]


def at_once(cluster: Cluster, paths: list[str]) -> list[str]:
    with futures.ThreadPoolExecutor(len(paths)) as pool:
        return list(pool.map(lambda path: cluster.get(path, timeout=PATIENCE).text, paths))


def test_every_program_of_the_page_is_run() -> None:
    """By a test below, which starts it by its name."""
    names = {title.rsplit("_", 1)[0] for title in PROGRAMS}
    told = Path(__file__).read_text()
    assert {name for name in names if f'start("{name}"' not in told} == set()


def test_sqlalchemy(start: Start, postgres: str) -> None:
    """No connection of the primary's is used by a worker; a query that waits holds up no other request."""
    url = postgres.replace("postgresql", "postgresql+psycopg")
    cluster = start("sql", DATABASE_URL=url)
    said = [text.split(maxsplit=2) for text in texts(cluster, 8)]
    backends = {pid: {backend for one, backend, _ in said if one == pid} for pid, *_ in said}
    assert len(backends) == 2
    first, second = backends.values()
    assert not first & second
    with psycopg.connect(postgres) as connection, futures.ThreadPoolExecutor(2) as pool:
        connection.execute("SELECT pg_advisory_xact_lock(1)")
        waiting = [pool.submit(cluster.get, "/wait", timeout=PATIENCE) for _ in range(2)]
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        with psycopg.connect(postgres, autocommit=True) as other:
            assert poll(lambda: other.execute(query).fetchone() == (2,), PATIENCE)
        assert {text.split()[0] for text in texts(cluster, 4)} == set(backends)
        connection.rollback()
        assert {one.result().status for one in waiting} == {200}


def test_psycopg_pool(start: Start, postgres: str) -> None:
    """Each worker has its own, and gives its connections back at the end."""
    cluster = start("pool", DATABASE_URL=postgres)
    said = [text.split() for text in texts(cluster, 8)]
    assert len({pid for pid, _ in said}) == 2
    assert len({backend for _, backend in said}) >= 2
    cluster.stop()
    with psycopg.connect(postgres, autocommit=True) as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        assert poll(lambda: connection.execute(query).fetchone() == (1,), PATIENCE)


def test_apscheduler(start: Start, tmp_path: Path) -> None:
    """One worker runs the jobs; when it is killed, another does."""
    start("scheduler", workers=3)
    ticks = tmp_path / "recipe" / "ticks"

    def runners() -> list[str]:
        return ticks.read_text().split() if ticks.exists() else []

    assert poll(lambda: len(runners()) >= 3, PATIENCE)
    (first,) = set(runners())
    os.kill(int(first), signal.SIGKILL)
    assert poll(lambda: runners()[-1] != first, PATIENCE)
    at = len(runners())
    assert poll(lambda: len(runners()) >= at + 3, PATIENCE)
    assert len(set(runners()[at:])) == 1


def test_a_warm_cache(start: Start, tmp_path: Path) -> None:
    """Loaded once, before anybody asks; not again when a worker dies; once it is gone one loads, and others wait."""
    cluster = start("warm", workers=3)
    loads = tmp_path / "recipe" / "loads"
    assert poll(lambda: loads.exists() and len(loads.read_text().split()) == 1, PATIENCE)
    assert {json.loads(text)["chair"] for text in texts(cluster, 6)} == {40}
    cluster.worker(1).kill()
    cluster.wait_listening(3)
    assert len(at_once(cluster, ["/"] * 6)) == 6
    assert len(loads.read_text().split()) == 1
    cluster.get("/forget")
    assert len(at_once(cluster, ["/"] * 6)) == 6
    assert len(loads.read_text().split()) == 2


def statuses(cluster: Cluster, key: str, count: int) -> list[int]:
    with futures.ThreadPoolExecutor(count) as pool:
        asking = [
            pool.submit(cluster.request, "GET", "/", headers={"X-Key": key}, timeout=PATIENCE) for _ in range(count)
        ]
        return sorted(one.result().status for one in asking)


def test_flask_limiter(start: Start) -> None:
    """Exact over all workers; a worker that is killed takes no hits with it."""
    check_limits(start("limiter", workers=3))


def test_slowapi(start: Start) -> None:
    """The same."""
    check_limits(start("slow", workers=3, worker_class="nodecluster_compat.ASGIWorker"))


def check_limits(cluster: Cluster) -> None:
    assert statuses(cluster, "all", 12) == [200] * 5 + [429] * 7
    assert statuses(cluster, "some", 3) == [200] * 3
    cluster.worker(1).kill()
    cluster.wait_listening(3)
    assert statuses(cluster, "some", 6) == [200] * 2 + [429] * 4


def test_limits_of_several_hosts(start: Start, redis_url: str) -> None:
    """The same program, and two clusters: the limit is one."""
    one, two = (start("limiter", NODECLUSTER_BUS=redis_url, NODECLUSTER_NAME="limits") for _ in range(2))
    found = statuses(one, "all", 4) + statuses(two, "all", 4)
    assert sorted(found) == [200] * 5 + [429] * 3


def test_flask_caching(start: Start) -> None:
    """What one worker has computed all have, until one deletes it."""
    cluster = start("caching", workers=3)
    for path in ("/", "/price/chair"):
        first = set(texts(cluster, 6, path))
        assert len(first) == 1
        assert cluster.get("/changed").text == "deleted"
        assert len(set(texts(cluster, 6, path))) == 1
    assert len(set(texts(cluster, 6, "/pid"))) == 3


def test_flask_session(start: Start) -> None:
    """A visitor's session is the same in every worker, and outlives one that is killed."""
    cluster = start("session", workers=3)
    seen = texts(cluster, 6)  # the client keeps cookies
    assert [int(one.split()[0]) for one in seen] == [1, 2, 3, 4, 5, 6]
    assert len({one.split()[1] for one in seen}) == 3
    cluster.worker(1).kill()
    cluster.wait_listening(3)
    assert cluster.get("/").text.startswith("7 ")
    assert cluster.get("/", headers={"Cookie": "session=a-stranger"}).text.startswith("1 ")


def test_prometheus(start: Start, tmp_path: Path) -> None:
    """Any worker tells what all have counted, and what one that was killed had."""
    (tmp_path / "metrics").mkdir()
    cluster = start("metrics", workers=3, PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "metrics"))
    texts(cluster, 7)
    for _ in range(3):
        assert "shop_requests_total 7.0" in cluster.get("/metrics").text
    cluster.worker(1).kill()
    cluster.wait_listening(3)
    assert "shop_requests_total 7.0" in cluster.get("/metrics").text


@BOTH_WAYS
def test_sentry(start: Start, collector: Collector, preloaded: bool) -> None:
    """An error that was raised just before the end arrives."""
    cluster = start("sentry", preloaded=preloaded, SENTRY_DSN=f"http://key@127.0.0.1:{collector.port}/1")
    assert cluster.get("/").text == "served"
    assert cluster.get("/fail").status == 500
    cluster.stop()
    bodies = [gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body for _, body in collector.posted]
    assert sum(b"no more coffee" in body for body in bodies) == 1


@BOTH_WAYS
def test_opentelemetry(start: Start, collector: Collector, preloaded: bool) -> None:
    """The spans of every worker arrive at its end, long before the exporter's five seconds are over.

    Those of a request that came with ``traceparent`` belong to that trace.
    """
    cluster = start("traces", preloaded=preloaded, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.port}")
    texts(cluster, 4)
    trace = "0af7651916cd43dd8448eb211c80319c"
    assert cluster.get("/", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"}).text == "served"
    cluster.stop()
    assert {path for path, _ in collector.posted} == {"/v1/traces"}
    assert sum(body.count(b"look up the price") for _, body in collector.posted) == 5
    assert sum(body.count(bytes.fromhex(trace)) for _, body in collector.posted) == 2  # the request, and what it did


def test_grpc(start: Start) -> None:
    """Calls of one worker overlap: none is answered before all have come."""
    together = threading.Barrier(4)

    def greet(request: bytes, context: object) -> bytes:
        if request != b"/alone":
            together.wait(PATIENCE)
        return b"hello " + request

    server = grpc.server(futures.ThreadPoolExecutor(8))
    handlers: Any = grpc.method_handlers_generic_handler(
        "shop.Greeter", {"Greet": grpc.unary_unary_rpc_method_handler(greet)}
    )
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        cluster = start("grpc", workers=1, GREETER=f"127.0.0.1:{port}")
        assert cluster.get("/alone").text == "hello /alone"
        assert at_once(cluster, ["/a", "/b", "/c", "/d"]) == ["hello /a", "hello /b", "hello /c", "hello /d"]
        cluster.stop()
        assert cluster.returncode == 0
    finally:
        server.stop(0).wait()


@pytest.mark.usefixtures("celery_worker")
def test_celery(start: Start, redis_url: str) -> None:
    """Through a real broker, by a real worker, from every worker of ours at once."""
    cluster = start("celery", REDIS_URL=redis_url)
    assert at_once(cluster, [f"/?{number}" for number in range(6)]) == [str(2 * number) for number in range(6)]


def heard_by(client: WebSocketClient) -> str:
    """What is said next, but that the server asks whether the client lives."""
    while (message := client.receive(PATIENCE)) == "2":
        client.send("3")
    return str(message)


def test_flask_socketio(start: Start, redis_url: str) -> None:
    """What one client says reaches the clients of the other worker."""
    cluster = start("chat", REDIS_URL=redis_url)
    host, port = cluster.address[:2] if isinstance(cluster.address, tuple) else cluster.address.split(":")
    clients = [WebSocketClient(f"ws://{host}:{port}/socket.io/?EIO=4&transport=websocket") for _ in range(2)]
    for client in clients:
        assert client.receive(PATIENCE).startswith("0{")
        client.send("40")
        assert heard_by(client).startswith("40{")
    with redis.Redis.from_url(redis_url) as broker:  # python-socketio does not wait until it hears the others
        assert poll(lambda: dict(broker.pubsub_numsub("flask-socketio"))[b"flask-socketio"] == 2, PATIENCE)
    said = []
    for client in clients:
        client.send('42["say","hello"]')
        heard = set(map(heard_by, clients))
        assert len(heard) == 1
        said.append(json.loads(heard.pop()[2:])[1].partition(":"))
    assert {text for *_, text in said} == {" hello"}
    assert len({pid for pid, *_ in said}) == 2
    assert cluster.get("/socket.io/?EIO=4&transport=polling").status == 400
    for client in clients:
        client.close()


def test_random_numbers(start: Start) -> None:
    """No two workers draw the same."""
    assert len(set(texts(start("random", workers=3), 6))) == 6


def test_programs(start: Start, tmp_path: Path) -> None:
    """The exit code and the output of a program; while one runs, its worker answers others."""
    cluster = start("program", workers=1)
    os.mkfifo(tmp_path / "recipe" / "line")
    with futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(cluster.get, "/wait", timeout=PATIENCE)
        with open(tmp_path / "recipe" / "line", "w") as line:  # when the view has opened its end
            assert cluster.get("/").text == "3 "
            line.write("coffee\n")
        assert waiting.result().text == "7 got coffee\n"


def test_asyncio(start: Start) -> None:
    """Views of one worker at the same time, each with its own loop."""
    paths = [f"/{number}" for number in range(8)]
    assert at_once(start("asyncio", workers=1), paths) == paths
