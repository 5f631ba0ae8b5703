"""Whatever an application does, a client gets the bytes that ``-k gevent`` sends, and hooks and logs are told it."""

from __future__ import annotations

import contextlib
import difflib
import re
import runpy
import socket
from pathlib import Path
from typing import Any, Final

import pytest
from raw_http import APPS, folder_of

from pytest_cluster import Cluster, ClusterFactory

# Without the plugin's agent, which marks each response.
pytestmark = pytest.mark.cluster(env={"NODECLUSTER_TEST_TOKEN": None})

_APPLICATION: Final = runpy.run_path(str(APPS / "answering.py"))
ANSWERS: Final = _APPLICATION["ANSWERS"]
BODIES: Final = _APPLICATION["BODIES"]
ODD: Final = _APPLICATION["ODD"]
LAST: Final = b"GET /last HTTP/1.1\r\nHost: example.test\r\nConnection: close\r\n\r\n"
METHODS: dict[str, bytes] = {
    "": b"GET %s HTTP/1.1\r\nHost: example.test\r\n\r\n",
    "HEAD": b"HEAD %s HTTP/1.1\r\nHost: example.test\r\n\r\n",
    "old": b"GET %s HTTP/1.0\r\nHost: example.test\r\n\r\n",
}
LENGTH: Final = b"POST %s HTTP/1.1\r\nHost: example.test\r\nContent-Length: 12\r\n\r\nabcdef\nGET /"
CHUNKED: Final = (
    b"POST %s HTTP/1.1\r\nHost: example.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"6\r\nabcdef\r\n6\r\n\nGET /\r\n0\r\n\r\n"
)
# What applications say, each followed by another request on the same connection.
TOLD: dict[str, bytes] = {
    **{
        f"{method} {name}": head % b"/answer/%s" % name.encode() + LAST
        for name in ANSWERS
        for method, head in METHODS.items()
    },
    **{
        f"{method} {name}?{body}": head % b"/answer/%s?%s" % (name.encode(), body.encode()) + LAST
        for name in ("plain", "tab-value")
        for body in BODIES
        for method, head in METHODS.items()
    },
    **{
        f"{method} {name}": head % b"/odd/%s" % name.encode() + LAST for name in ODD for method, head in METHODS.items()
    },
    **{
        f"{name} {number}": head % b"/odd/%s" % name.encode() + LAST
        for name in ("reads_a_part", "reads_lines", "reads_nothing", "closes_and_fails", "OSError")
        for number, head in enumerate((LENGTH, CHUNKED))
    },
    "body that ends early": LENGTH[:-3] % b"/odd/reads_a_part",
    "body that ends early, unread": LENGTH[:-3] % b"/odd/reads_nothing",
    "pipelined": METHODS[""] % b"/a" + LENGTH % b"/b" + CHUNKED % b"/c" + METHODS["HEAD"] % b"/d" + LAST,
    "kept alive by an old client": METHODS["old"].replace(b"Host", b"Connection: Keep-Alive\r\nHost") % b"/old" + LAST,
    "closed, in capitals": METHODS[""].replace(b"Host", b"Connection: CLOSE\r\nHost") % b"/c" + LAST,
    "closed, and more": METHODS[""].replace(b"Host", b"Connection: close, x\r\nHost") % b"/c" + LAST,
}
ATOMS: Final = (
    "%(h)s %(l)s %(u)s %(r)s %(s)s %(m)s %(U)s %(q)s %(H)s %(b)s %(B)s %(f)s %(a)s %({host}i)s %({x-a}o)s"
    " %({content-type}o)s %({raw_uri}e)s"
)
HOOKS: Final = """
def note(*facts):
    with open("hooks.log", "a") as file:
        print(*facts, file=file)

def pre_request(worker, req):
    note("pre", req.method, req.uri, req.path, req.query, req.version, sorted(req.headers), req.body is not None)

def post_request(worker, req, environ, resp):
    note("post", req.uri, sorted(environ), resp and (resp.status, resp.sent, resp.headers, resp.chunked))
"""
OBSERVED: dict[str, dict[str, Any]] = {
    "nothing set": {},
    "logs and hooks": {"settings": {"accesslog": "access.log", "access_log_format": ATOMS}, "config": HOOKS},
    "debug log, own logger, no keep-alive": {
        "settings": {
            "loglevel": "debug",
            "logger_class": "own_logger.OwnLogger",
            "accesslog": "access.log",
            "keepalive": 0,
        }
    },
}
FILES: Final = ("access.log", "hooks.log", "error.log")


def answer(cluster: Cluster, request: bytes) -> bytes:
    """Send the bytes, then end of input; return everything that comes back but the date."""
    received = b""
    with cluster.connect(timeout=20) as client:
        with contextlib.suppress(OSError):
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            while data := client.recv(65536):
                received += data
    return re.sub(rb"Date: [^\r]*", b"Date: *", received)


def observed(cluster: Cluster) -> tuple[dict[tuple[str, int], bytes], list[str]]:
    """What a client sees, twice (a server may remember what it was told before), and what the files say."""
    answers = {(name, turn): answer(cluster, request) for turn in (1, 2) for name, request in TOLD.items()}
    folder = folder_of(cluster)
    return answers, [line for name in FILES if (folder / name).exists() for line in lines_of(folder / name)]


def lines_of(file: Path) -> list[str]:
    """The lines of a log, without those that tell of the start, times, and what names a process."""
    lines = [re.sub(r"^\[[^]]*] \[\d+] ", "", line) for line in file.read_text().splitlines()]
    return [re.sub(r"\[\d\d/.*?]|0x\w+", "*", line) for line in lines if "/answer/" in line or "/odd/" in line]


@pytest.mark.parametrize("how", OBSERVED)
@pytest.mark.timeout(300)
def test_whatever_an_application_does_is_answered_as_by_the_stock_worker(
    cluster_factory: ClusterFactory, how: str
) -> None:
    """Statuses, headers and bodies of every kind, errors at every point; what hooks and logs are told of them."""
    options: dict[str, Any] = {**OBSERVED[how], "workers": 1, "app": "answering:app"}
    options["settings"] = {
        "graceful_timeout": 2,
        "keepalive": 2,
        "errorlog": "error.log",
        **options.get("settings", {}),
    }
    ours, our_lines = observed(cluster_factory(**options))
    stock, stock_lines = observed(cluster_factory(**options, worker_class="gevent"))
    assert {name: (said, stock[name]) for name, said in ours.items() if said != stock[name]} == {}
    changes = "\n".join(difflib.unified_diff(stock_lines, our_lines, lineterm="", n=0))
    assert not changes, changes
    assert stock_lines
