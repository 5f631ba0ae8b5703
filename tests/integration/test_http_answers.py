"""Whatever an application does, a client gets the bytes that ``-k gevent`` sends, and hooks and logs are told it."""

from __future__ import annotations

import difflib
import re
import runpy
from pathlib import Path
from typing import Any, Final

import pytest
from raw_http import APPS, folder_of, normalised, send
from recordings import told
from stock import stock_recording

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
HOOKS: Final = '''
def note(*facts):
    with open("hooks.log", "a") as file:
        print(*facts, file=file)

SEEN = {}

def keys(environ):
    """The keys the first time, and then the number of that time."""
    told = tuple(sorted(key for key in environ if not key.startswith("nodecluster.")))
    if not environ["PATH_INFO"].startswith(("/answer/", "/odd/")):
        return told
    return f"as in {SEEN[told]}" if told in SEEN else (SEEN.setdefault(told, len(SEEN)), told)

def pre_request(worker, req):
    note("pre", req.method, req.uri, req.path, req.query, req.version, sorted(req.headers), req.body is not None)

def post_request(worker, req, environ, resp):
    note("post", req.uri, keys(environ), resp and (resp.status, resp.sent, resp.headers, resp.chunked))
'''
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


STOCK: Final = stock_recording("http_answers")


def started(cluster_factory: ClusterFactory, how: str, worker_class: str = "nodecluster_compat.Worker") -> Cluster:
    """A server that is observed in one of the ways."""
    options: dict[str, Any] = {"settings": {}, **OBSERVED[how], "workers": 1, "app": "answering:app"}
    options["settings"] = {"graceful_timeout": 2, "keepalive": 2, "errorlog": "error.log", **options["settings"]}
    return cluster_factory(**options, worker_class=worker_class)


def observed(cluster: Cluster) -> dict[str, Any]:
    """What a client sees, and what the files say.

    Twice: a server may remember what it was told before. The second answer is named where it is another than the first.
    """
    first, second = ({name: told(normalised(send(cluster, request))) for name, request in TOLD.items()} for _ in "12")
    answers = {**first, **{f"{name}, again": said for name, said in second.items() if said != first[name]}}
    folder = folder_of(cluster)
    return {
        "answers": answers,
        "lines": [line for name in FILES if (folder / name).exists() for line in lines_of(folder / name)],
    }


def lines_of(file: Path) -> list[str]:
    """The lines of a log, without those that tell of the start, times, and what names a process.

    Control characters are as we write them; gunicorn does not escape them.
    """
    text = file.read_text().replace("\t", "\\x09")
    lines = [re.sub(r"^\[[^]]*] \[\d+] ", "", line) for line in text.splitlines()]
    return [re.sub(r"\[\d\d/.*?]|0x\w+", "*", line) for line in lines if "/answer/" in line or "/odd/" in line]


@pytest.mark.table(quick=["logs and hooks"])
@pytest.mark.parametrize("how", OBSERVED)
@pytest.mark.timeout(300)
def test_whatever_an_application_does_is_answered_as_by_the_stock_worker(
    cluster_factory: ClusterFactory, how: str
) -> None:
    """Statuses, headers and bodies of every kind, errors at every point; what hooks and logs are told of them."""
    stock = STOCK[how] if how in STOCK else observed(started(cluster_factory, how, "gevent"))
    assert_alike(observed(started(cluster_factory, how)), stock)
    assert stock["lines"]


@pytest.mark.slow
@pytest.mark.parametrize("how", OBSERVED)
@pytest.mark.timeout(300)
def test_stock_worker_answers_as_recorded(cluster_factory: ClusterFactory, how: str, recording_anew: bool) -> None:
    """The recording that the test above compares with is what the stock worker says."""
    stock = observed(started(cluster_factory, how, "gevent"))
    if recording_anew:
        STOCK.write(how, stock)
    if how in STOCK:
        assert_alike(stock, STOCK[how])


def assert_alike(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Say which answers and which lines differ."""
    answers = other["answers"]
    assert {name: said for name, said in one["answers"].items() if said != answers.get(name)} == {}
    assert one["answers"] == answers
    lines = [line.replace("\t", "\\x09") for line in other["lines"]]  # of a recording
    changes = "\n".join(difflib.unified_diff(lines, one["lines"], lineterm="", n=0))
    assert not changes, changes
