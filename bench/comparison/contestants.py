"""The servers that are compared, all alike: `with http_server("node", tools, workers=2) as server: ...`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from load import get_once, try_once
from sessions import HERE, SETTLE_SECONDS, START_SECONDS, BenchError, Session, free_port

from comparison.figures import GRANIAN, GTHREAD, NODE20, NODE24, OURS, STOCK, SYNC, UWSGI
from comparison.tools import PEERS, ROOT, Tools

WORKER_CLASSES = {
    OURS: ("nodecluster_compat.Worker",),
    STOCK: ("gevent",),
    GTHREAD: ("gthread", "--threads", "4"),
    SYNC: ("sync",),
}


@dataclass(frozen=True)
class Setup:
    """How a server is to run.

    Attributes:
        workers: how many.
        app: the WSGI application; `hello.js` is Node's only one.
        preload: gunicorn's `--preload`.
        keep_alive_seconds: how long idle connections stay open, and that there may be thousands of them;
            None for each server's default.
        ready_path: answers 200 when the server is ready.
        access_log: whether each request is logged, to standard output, which is a file; of those that can.
        closes: whether every request has a connection of its own; only uWSGI has to know.
    """

    workers: int = 2
    app: str = "wsgi:app"
    preload: bool = False
    keep_alive_seconds: int | None = None
    ready_path: str = "/"
    access_log: bool = False
    closes: bool = False


class HttpServer(Session):
    """A server with a port."""

    def __init__(self, arguments: list[str], environment: dict[str, str], setup: Setup, port: int) -> None:
        super().__init__(arguments, environment, setup.workers)
        self.setup = setup
        self.port = port


class UnheardServer(HttpServer):
    """One that does not say when its workers listen: it is ready when it answers and has as many children."""

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while try_once(self.port, self.setup.ready_path) is None or len(self.workers()) < self.wanted:
            if time.monotonic() > deadline:
                raise BenchError(f"no answer after {START_SECONDS:.0f} s: {self.last_log_line()}")
            time.sleep(0.02)
        time.sleep(2 * SETTLE_SECONDS)


def python_path() -> dict[str, str]:
    """The checkout and the applications; a gunicorn of the environment finds them here."""
    return {"PYTHONPATH": os.pathsep.join([str(PEERS), str(HERE / "apps"), str(ROOT)])}


def gunicorn_server(side: str, tools: Tools, setup: Setup) -> HttpServer:
    """Ours or one of gunicorn's: the same command with another worker class."""
    port = free_port()
    arguments = [
        *(tools.script("gunicorn"), "-w", str(setup.workers), "-k", *WORKER_CLASSES[side]),
        *("-b", f"127.0.0.1:{port}", "-c", str(HERE / "apps" / "conf.py")),
        *(["--preload"] if setup.preload else []),
        *(["--access-logfile", "-"] if setup.access_log else []),
    ]
    if setup.keep_alive_seconds is not None:
        arguments += ["--keep-alive", str(setup.keep_alive_seconds), "--worker-connections", "20000"]
    return HttpServer([*arguments, setup.app], {**python_path(), "BENCH_SIDE": side}, setup, port)


def node_server(side: str, tools: Tools, setup: Setup) -> HttpServer:
    """Node's `http.createServer` in a cluster."""
    port = free_port()
    environment = {"BENCH_PORT": str(port), "BENCH_WORKERS": str(setup.workers)}
    if setup.keep_alive_seconds is not None:
        environment["BENCH_KEEP_ALIVE_SECONDS"] = str(setup.keep_alive_seconds)
    return HttpServer([node_program(side, tools), str(PEERS / "hello.js")], environment, setup, port)


def granian_server(_: str, tools: Tools, setup: Setup) -> HttpServer:
    """granian with its defaults for WSGI."""
    port = free_port()
    arguments = [
        *(tools.script("granian"), "--interface", "wsgi", "--workers", str(setup.workers)),
        *("--host", "127.0.0.1", "--port", str(port)),
        *(["--access-log"] if setup.access_log else []),
        setup.app,
    ]
    return UnheardServer(arguments, python_path(), setup, port)


def uwsgi_server(_: str, tools: Tools, setup: Setup) -> HttpServer:
    """uWSGI: a process of its own keeps connections alive; without that its workers accept for themselves."""
    port = free_port()
    listens = ["--http-socket"] if setup.closes else ["--http-keepalive=75", "--http"]
    arguments = [
        *(tools.script("uwsgi"), "--master", "--need-app", "--die-on-term", "--processes", str(setup.workers)),
        *(*listens, f"127.0.0.1:{port}", "--module", setup.app),
        *([] if setup.access_log else ["--disable-logging"]),
    ]
    return UnheardServer(arguments, python_path(), setup, port)


MAKERS: dict[str, Callable[[str, Tools, Setup], HttpServer]] = {
    OURS: gunicorn_server,
    STOCK: gunicorn_server,
    GTHREAD: gunicorn_server,
    SYNC: gunicorn_server,
    NODE20: node_server,
    NODE24: node_server,
    GRANIAN: granian_server,
    UWSGI: uwsgi_server,
}


def http_server(side: str, tools: Tools, setup: Setup) -> HttpServer:
    """A server that is not started yet."""
    return MAKERS[side](side, tools, setup)


def node_program(side: str, tools: Tools) -> str:
    """The executable of this Node."""
    if side not in tools.nodes:
        raise BenchError(f"{side} takes no part in this run")
    return tools.nodes[side]


def check_answer(server: HttpServer, path: str) -> None:
    """Raise unless the server answers this path with 200."""
    response = get_once(server.port, path)
    if response.status != 200:
        raise BenchError(f"{path} answered {response.status}")
