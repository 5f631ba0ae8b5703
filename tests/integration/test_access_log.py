"""Lines of the access log are written together, none too late, none twice, none lost; whoever looks sees gunicorn's."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

import pytest
from raw_http import CLOSE, GET, folder_of, send
from remote_control import freeze, wait, wait_logged

from pytest_cluster import Cluster, ClusterFactory

LOGGED: Final[dict[str, Any]] = {
    "app": "logged:app",
    "workers": 1,
    "env": {"NODECLUSTER_TEST_TOKEN": None},
    "settings": {"accesslog": "access.log", "access_log_format": "%(U)s %(s)s", "graceful_timeout": 5, "keepalive": 4},
}
MANY: Final = 20
ANSWERED: Final = b"\r\n\r\nok"

pytestmark = pytest.mark.cluster(**LOGGED, fresh=True)


def lines_of(cluster: Cluster) -> list[str]:
    return (folder_of(cluster) / "access.log").read_text().splitlines()


def writes_of(pid: int) -> int:
    """How many times a process has called write(2); what goes to sockets does not count."""
    found = re.search(r"syscw: (\d+)", Path(f"/proc/{pid}/io").read_text())
    assert found is not None
    return int(found[1])


def read_answer(client: socket.socket) -> bytes:
    """What arrives, up to the end of an answer or of the connection."""
    received = b""
    with suppress(ConnectionError):
        while not received.endswith(ANSWERED) and (data := client.recv(65536)):
            received += data
    return received


def in_one_turn(cluster: Cluster, paths: Iterable[str], stack: ExitStack) -> list[socket.socket]:
    """Let the worker find requests on as many kept connections, all at once."""
    clients = [(path, stack.enter_context(cluster.connect(20))) for path in paths]
    for _, client in clients:
        client.sendall(GET % (b"/warm", b""))
        assert read_answer(client).endswith(ANSWERED)
    pid = cluster.worker(1).pid
    freeze(cluster, pid)
    for path, client in clients:
        client.sendall(GET % (path.encode(), b""))
    os.kill(pid, signal.SIGCONT)
    return [client for _, client in clients]


def test_lines_of_a_turn_are_one_write(cluster: Cluster) -> None:
    """Twenty requests are served before the loop waits again."""
    pid = cluster.worker(1).pid
    with ExitStack() as stack:
        before = writes_of(pid)
        clients = in_one_turn(cluster, [f"/{number}" for number in range(MANY)], stack)
        warmed_up = MANY
        assert all(read_answer(client).endswith(ANSWERED) for client in clients)
        wait(lambda: len(lines_of(cluster)) == 2 * MANY, "every line", cluster)
        assert writes_of(pid) - before < warmed_up + MANY / 2
    assert sorted(lines_of(cluster)[MANY:]) == sorted(f"/{number} 200" for number in range(MANY))


ENDS: Final = ["/process-exit", "/sys-exit", "/term", "/quit", "/abort"]


@pytest.mark.table(quick=["/process-exit", "/term", "/abort"])
@pytest.mark.parametrize("end", ENDS)
def test_every_answer_has_its_line_when_its_worker_ends(cluster: Cluster, end: str) -> None:
    """Amid a turn in which others were answered."""
    with ExitStack() as stack:
        paths = [f"/{number}" for number in range(5)] + [end] + [f"/{number}" for number in range(5, 10)]
        clients = in_one_turn(cluster, paths, stack)
        answers = dict(zip(paths, map(read_answer, clients), strict=True))
        answered = [path for path, answer in answers.items() if answer.endswith(ANSWERED)]
        if end != "/sys-exit":  # which ends the request alone
            cluster.journal.wait_for("exit", worker=1)
    wait(lambda: len(set(lines_of(cluster)) & {f"{path} 200" for path in answered}) == len(answered), "lines", cluster)
    assert len(answered) >= 5


@pytest.mark.cluster(settings={**LOGGED["settings"], "max_requests": MANY, "keepalive": 1})
def test_every_answer_has_its_line_with_max_requests(cluster: Cluster) -> None:
    for number in range(3 * MANY):
        assert cluster.get(f"/{number}").status == 200
    wait(lambda: len(lines_of(cluster)) == 3 * MANY, "every line", cluster)
    cluster.journal.wait_for("exit", worker=1)


@pytest.mark.table(quick=["SIGTERM"])
@pytest.mark.parametrize("signal_name", ["SIGTERM", "SIGINT", "SIGQUIT"])
def test_every_answer_has_its_line_when_the_server_ends(cluster_factory: ClusterFactory, signal_name: str) -> None:
    server = cluster_factory()
    access = folder_of(server) / "access.log"
    with ExitStack() as stack:
        clients = in_one_turn(server, [f"/{number}" for number in range(MANY)], stack)
        assert all(read_answer(client).endswith(ANSWERED) for client in clients)
        server.stop(signal_name)
    assert access.read_text().count(" 200\n") == 2 * MANY


def test_rotation_loses_no_line(cluster: Cluster) -> None:
    """USR1 while requests come: each line is in the old file or in the new one."""
    log = folder_of(cluster) / "access.log"
    old = log.with_suffix(".1")
    with cluster.connect(20) as client:
        log.rename(old)
        for number in range(200):
            client.sendall(GET % (b"/%d" % number, b""))
            assert read_answer(client).endswith(ANSWERED)
            if number == 50:
                os.kill(cluster.worker(1).pid, signal.SIGUSR1)
        wait(log.exists, "the new file", cluster)
        client.sendall(GET % (b"/last", b""))
        assert read_answer(client).endswith(ANSWERED)
    wait(lambda: "/last 200" in log.read_text(), "the last line", cluster)
    both = old.read_text() + log.read_text()
    assert [line for line in both.splitlines() if line != "/last 200"] == [f"/{number} 200" for number in range(200)]


@pytest.mark.cluster(settings={**LOGGED["settings"], "errorlog": "access.log"})
def test_error_log_in_the_same_file_keeps_its_place(cluster: Cluster) -> None:
    send(cluster, GET % (b"/first", b"") + GET % (b"/error", b"") + GET % (b"/last", CLOSE))
    wait(lambda: "/last 200" in lines_of(cluster), "the last request", cluster)
    told = [line for line in lines_of(cluster) if line.endswith((" 200", "told amid a turn"))]
    assert [line.split()[-1] for line in told] == ["200", "turn", "200", "200"]


@pytest.mark.cluster(settings={**LOGGED["settings"], "accesslog": "-"})
def test_what_is_printed_to_the_same_stream_keeps_its_place(cluster: Cluster) -> None:
    send(cluster, GET % (b"/first", b"") + GET % (b"/print", b"") + GET % (b"/last", CLOSE))
    wait(lambda: "/last 200" in cluster.log, "the last request", cluster)
    told = re.findall(r"(?m)^(/first 200|printed amid a turn|/print 200|/last 200)$", cluster.log)
    assert told == ["/first 200", "printed amid a turn", "/print 200", "/last 200"]


@pytest.mark.table(quick=["access.log"])
@pytest.mark.parametrize("accesslog", ["access.log", "-"])
def test_child_writes_no_line_again(cluster_factory: ClusterFactory, accesslog: str) -> None:
    """What is buffered at a fork is not the child's."""
    server = cluster_factory(settings={**LOGGED["settings"], "accesslog": accesslog})
    send(server, GET % (b"/first", b"") + GET % (b"/fork", b"") + GET % (b"/last", CLOSE))

    def text() -> str:
        return server.log if accesslog == "-" else "\n".join(lines_of(server))

    wait(lambda: "/last 200" in text(), "the last request", server)
    assert re.findall(r"(?m)^(/\w+) 200$", text()) == ["/first", "/fork", "/last"]


def test_filter_that_a_request_adds_sees_its_own_line(cluster: Cluster) -> None:
    send(cluster, GET % (b"/first", b"") + GET % (b"/filter", b"") + GET % (b"/last", CLOSE))
    wait(lambda: "filtered: /last 200" in cluster.log, "the filter", cluster)
    wait_logged(cluster, "filtered: /filter 200")
    assert lines_of(cluster) == ["/first 200"]


@pytest.mark.table(quick=["nodecluster_compat.Worker"])
@pytest.mark.parametrize("worker_class", ["nodecluster_compat.Worker", "gevent"])
def test_full_disk_is_the_log_s_trouble_alone(cluster_factory: ClusterFactory, worker_class: str) -> None:
    """Requests are answered, the error is told on standard error, as of the stock worker; and no memory is piled up."""
    server = cluster_factory(settings={**LOGGED["settings"], "accesslog": "/dev/full"}, worker_class=worker_class)
    with server.connect(20) as client:
        for _ in range(300):
            client.sendall(GET % (b"/" + b"x" * 100, b""))
            assert read_answer(client).endswith(ANSWERED)
    wait(lambda: "No space left on device" in server.log, "the error", server)
    assert "--- Logging error ---" in server.log
    assert server.get("/").status == 200


@pytest.mark.cluster(worker_class="nodecluster_compat.ThreadWorker", settings={**LOGGED["settings"], "threads": 8})
def test_lines_of_several_threads_stay_whole(cluster: Cluster) -> None:
    """Each is written once, at once."""
    with ExitStack() as stack:
        clients = in_one_turn(cluster, [f"/{number}" for number in range(MANY)], stack)
        assert all(read_answer(client).endswith(ANSWERED) for client in clients)
        wait(lambda: len(lines_of(cluster)) >= 2 * MANY, "every line", cluster)
    assert sorted(lines_of(cluster)) == sorted(["/warm 200"] * MANY + [f"/{number} 200" for number in range(MANY)])


LOGCONFIG_JSON: Final = """{
    "version": 1,
    "formatters": {"own": {"format": "OWN %(name)s %(message)s"}},
    "handlers": {"own": {"class": "logging.FileHandler", "formatter": "own", "filename": "own.log"}},
    "root": {"level": "INFO", "handlers": []},
    "loggers": {"gunicorn.access": {"level": "INFO", "handlers": ["own"], "propagate": false}}
}"""
LOGCONFIG: Final = """
[loggers]
keys=root, gunicorn.access
[handlers]
keys=own
[formatters]
keys=own
[logger_root]
level=INFO
handlers=own
[logger_gunicorn.access]
level=INFO
handlers=own
propagate=0
qualname=gunicorn.access
[handler_own]
class=FileHandler
formatter=own
args=("own.log",)
[formatter_own]
format=OWN %(name)s %(message)s
"""


@pytest.mark.table(quick=["logconfig-text1"])
@pytest.mark.parametrize(("setting", "text"), [("logconfig_json", LOGCONFIG_JSON), ("logconfig", LOGCONFIG)])
def test_logconfig_of_a_file_is_obeyed(
    cluster_factory: ClusterFactory, tmp_path: Path, setting: str, text: str
) -> None:
    config = tmp_path / "logging"
    config.write_text(text)
    server = cluster_factory(settings={"access_log_format": "%(U)s %(s)s", setting: str(config)})
    send(server, GET % (b"/found", CLOSE))
    own = folder_of(server) / "own.log"
    wait(lambda: "/found" in own.read_text(), "the request", server)
    assert "OWN gunicorn.access /found 200" in own.read_text().splitlines()


@pytest.mark.cluster(settings={**LOGGED["settings"], "access_log_format": "%(D)s %(T)s %(M)s %(L)s %(t)s %(p)s"})
def test_time_and_process_are_those_of_the_request(cluster: Cluster) -> None:
    send(cluster, GET % (b"/", CLOSE))
    wait(lambda: len(lines_of(cluster)) > 0, "the line", cluster)
    micros, seconds, millis, exact, *_, pid = lines_of(cluster)[0].split()
    assert int(millis) == int(micros) // 1000
    assert exact == f"{int(micros) // 1_000_000}.{int(micros) % 1_000_000:06}"
    assert (seconds, pid) == (exact.partition(".")[0], f"<{cluster.worker(1).pid}>")
