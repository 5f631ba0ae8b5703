"""Check Socket.IO on several workers with Socket.IO's own client, however it connects, behind whatever stands in front.

    npm install --prefix DIR socket.io-client@4.8.4
    python bench/socketio/check.py DIR [--clients 30] [--events 10] [--only direct,tls,...] [--columns polling-own,...]

Each row is a server and what is in front of it; each column a transport and how its requests are connected: by a
connection of each client, by an agent of Node's that all share and that keeps connections, or by ``fetch``, which
keeps them too; ``python`` is python-socketio's client instead, with connections of its own.  A cell says ``all`` if
each client lived, stayed with one worker, heard each echo, broadcast, and bytes once, got acknowledgements of clients
of other workers, was put into rooms by them, and half of them were disconnected by them; else what was missing.
``stock`` is the control, in which that must fail.

``spread`` is the share of the worker with most of 100 clients that come one by one through nginx.  ``ends`` is how many
seconds pass, when a worker is killed or told to end, until each of its clients hears an answer from another; where all
are replaced by a reload, from the moment in which a client's own worker leaves.

The servers keep idle connections for longer than the clients and the proxies do: whoever sends a request on a
connection that the server is just closing loses it, ``fetch`` keeps connections for four seconds, and gunicorn's own
``keepalive`` is two.  The two seldom meet, but of 200 clients on a busy machine some lose their sessions.

Exits with 1 where something is missing.  What is not installed (nginx, HAProxy, Flask-SocketIO, gevent-websocket) is
skipped, and named.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import itertools
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE))

from run import PATIENCE, Servers, free_port  # noqa: E402

TRANSPORTS: Final = ("polling", "upgrade", "websocket")
CONNECTIONS: Final = ("own", "shared", "fetch", "python")
COLUMNS: Final = [
    (transport, connections)
    for transport, connections in itertools.product(TRANSPORTS, CONNECTIONS)
    if (transport, connections) != ("websocket", "fetch")  # nothing is fetched
]
KEEPALIVE: Final = "75"  # nginx keeps those to its upstream for 60 seconds
HANDSHAKE: Final = "/socket.io/?EIO=4&transport=polling"
MOST_SHARE: Final = 0.65
MOST_SECONDS: Final = {"killed": 2.0, "told to end": 3.0, "reloaded": 3.0}
MOST_LATENCY: Final = 0.2
SPREAD_CLIENTS: Final = 100
SPREAD_PAUSE: Final = 15

NGINX: Final = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    map $http_upgrade $connection_of_upgrade {{ default upgrade; '' ''; }}
    upstream workers {{ server {upstream}; keepalive 16; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://workers;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_of_upgrade;
        }}
    }}
}}
"""
HAPROXY: Final = """
global
    nbthread 1
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    timeout tunnel 60s
listen workers
    bind 127.0.0.1:{port}
    server gunicorn {upstream}
"""


@dataclass(frozen=True)
class Setup:
    """A server, and what stands in front of it.

    Attributes:
        worker: the class.
        workers: how many.
        options: of gunicorn.
        env: of the application.
        front: ``nginx``, ``haproxy``, or nothing.
        by_path: whether that reaches the server by a unix socket.
        is_encrypted: whether gunicorn speaks TLS.
        needs: a module without which there is none.
        app: the application.
    """

    worker: str = "nodecluster_compat.Worker"
    workers: int = 4
    options: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    front: str = ""
    by_path: bool = False
    is_encrypted: bool = False
    needs: str = "socketio"
    app: str = "server_app:app"

    @property
    def missing(self) -> str:
        """What is not installed here."""
        if self.front and shutil.which(self.front, path=f"{os.environ['PATH']}:/usr/sbin") is None:
            return self.front
        return "" if importlib.util.find_spec(self.needs) else self.needs


SETUPS: Final = {
    "stock": Setup("gevent", 2, env={"APP": "stock"}),
    "direct": Setup(),
    "tls": Setup(is_encrypted=True),
    "nginx": Setup(front="nginx"),
    "nginx-unix": Setup(front="nginx", by_path=True),
    "haproxy": Setup(front="haproxy"),
    "flask": Setup(env={"APP": "flask"}, needs="flask_socketio"),
    "preload": Setup(options=("--preload",), env={"PATCH": "1"}),
    "gevent-websocket": Setup(
        "nodecluster_compat.WebSocketWorker", env={"GEVENT_WEBSOCKET": "1"}, needs="geventwebsocket"
    ),
    "threads": Setup("nodecluster_compat.ThreadWorker", options=("--threads", "200"), env={"MODE": "threading"}),
    "asgi": Setup("nodecluster_compat.ASGIWorker", app="server_app_asgi:app"),
    "asgi-tls": Setup("nodecluster_compat.ASGIWorker", app="server_app_asgi:app", is_encrypted=True),
}


class Running(Servers):
    """Servers that are checked, and their clients."""

    def serve(self, setup: Setup) -> tuple[str, int]:
        """Start a server and what is in front; return the URL, and the primary's process."""
        port, path = free_port(), f"{self.folder}/socket"
        where = f"unix:{path}" if setup.by_path else f"127.0.0.1:{port}"
        options = ["-k", setup.worker, "-w", str(setup.workers), "-b", where, "--keep-alive", KEEPALIVE, *setup.options]
        scheme = "http"
        if setup.is_encrypted:
            scheme = "https"
            options += ["--keyfile", f"{self.folder}/key", "--certfile", f"{self.folder}/cert"]
            self.certify()
        command = [sys.executable, "-m", "gunicorn", *options, setup.app]
        if not setup.by_path:
            pid = self.start(command, port, **setup.env)
        if setup.front:
            front, upstream = free_port(), f"127.0.0.1:{port}"
            if setup.by_path:
                upstream = f"unix:{path}"
            self.configure(setup.front, front, upstream)
            if setup.by_path:
                pid = self.start_by_path(command, path, **setup.env)
            self.start(self.front_command(setup.front), front)
            port = front
        url = f"{scheme}://127.0.0.1:{port}"
        if setup.env.get("APP") != "stock":
            self.wait_for_workers(url, setup.workers)
        return url, pid

    @staticmethod
    def wait_for_workers(url: str, workers: int) -> None:
        """Wait until each worker begins sessions; their ids say which has."""
        context = ssl._create_unverified_context()
        found: set[bytes] = set()
        until = time.monotonic() + PATIENCE
        while len(found) < workers and time.monotonic() < until:
            with urllib.request.urlopen(f"{url}{HANDSHAKE}", timeout=PATIENCE, context=context) as answer:
                found.update(re.findall(rb'"sid":"[^".]+\.(\d+)"', answer.read()))

    def certify(self) -> None:
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
                *("-addext", "subjectAltName=IP:127.0.0.1"),
                *("-keyout", f"{self.folder}/key", "-out", f"{self.folder}/cert"),
            ],
            check=True,
            capture_output=True,
        )
        self.environment["NODE_EXTRA_CA_CERTS"] = f"{self.folder}/cert"

    def configure(self, front: str, port: int, upstream: str) -> None:
        text = NGINX if front == "nginx" else HAPROXY
        Path(self.folder, front).write_text(text.format(folder=self.folder, port=port, upstream=upstream))

    def front_command(self, front: str) -> list[str]:
        program = shutil.which(front, path=f"{os.environ['PATH']}:/usr/sbin") or front
        config = f"{self.folder}/{front}"
        return [program, "-c", config, "-e", "stderr"] if front == "nginx" else [program, "-f", config, "-db"]

    def start_by_path(self, command: list[str], path: str, **env: str) -> int:
        process = subprocess.Popen(
            command,
            cwd=HERE,
            env={**self.environment, **env},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.stack.callback(self.end, process)
        deadline = time.monotonic() + 30
        while not os.path.exists(path):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{command[0]} does not listen at {path}")
            time.sleep(0.05)
        return process.pid

    def clients(self, url: str, transport: str, connections: str, *numbers: int) -> dict[str, Any]:
        """Run clients; return what they say."""
        program = [sys.executable, "clients.py"] if connections == "python" else ["node", "clients.js"]
        command = [program[0], str(HERE / program[1]), url, transport, connections, *map(str, numbers)]
        ran = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=600)
        if ran.returncode:
            return {"failed": ran.stderr.strip().splitlines()[-1:]}
        said: dict[str, Any] = json.loads(ran.stdout)
        return said


@contextlib.contextmanager
def running(modules: Path) -> Iterator[Running]:
    with contextlib.ExitStack() as stack:
        yield Running(modules, stack)


def missed(said: dict[str, Any], clients: int, events: int, scheme: str) -> dict[str, Any]:
    """Return what is not as it must be."""
    expected = {
        "live": clients,
        "echoes": clients * events,
        "faithful": clients,
        "upgraded": clients,
        "told": clients,
        "broadcast": clients,
        "binary": clients,
        "asked": clients,
        "entered": clients,
        "behind": clients,
        "leaked": 0,
        "kicked": clients // 2,
    }
    wrong = {name: said.get(name) for name, value in expected.items() if said.get(name) != value}
    if said.get("workers", 0) < 2:
        wrong["workers"] = said.get("workers")
    if any(not one.startswith(f"{scheme},") for one in said.get("whence", [])):
        wrong["whence"] = said["whence"]
    if wrong and said.get("lost"):
        wrong["lost"] = said["lost"]
    return wrong


def check(modules: Path, names: list[str], columns: list[tuple[str, str]], clients: int, events: int) -> bool:
    """Check these transports of these set-ups; return whether all is as it must be."""
    is_right = True
    print("| | " + " | ".join(" ".join(column) for column in columns) + " |\n" + "|---" * (len(columns) + 1) + "|")
    for name in names:
        setup = SETUPS[name]
        if setup.missing:
            print(f"| {name} | skipped: there is no {setup.missing} |", flush=True)
            continue
        cells = []
        with running(modules) as servers:
            url, _ = servers.serve(setup)
            for transport, connections in columns:
                if name == "stock":
                    servers.environment["PATIENCE"] = "3"
                said = servers.clients(url, transport, connections, clients, events, 0)
                wrong = missed(said, clients, events, url.partition(":")[0])
                cells.append(f"{wrong}" if wrong else "all")
                is_right = is_right and (not wrong or name == "stock")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    return is_right


def spread(modules: Path) -> bool:
    """New sessions on connections that a proxy keeps are dealt afresh."""
    with running(modules) as servers:
        url, _ = servers.serve(Setup(workers=2, front="nginx"))
        said = servers.clients(url, "polling", "own", SPREAD_CLIENTS, 1, SPREAD_PAUSE)
    if said.get("live") != SPREAD_CLIENTS or "most" not in said:
        print(f"spread: not all of {SPREAD_CLIENTS} clients through nginx were there: {said}", flush=True)
        return False
    share = said["most"] / SPREAD_CLIENTS
    print(f"spread: of {SPREAD_CLIENTS} clients through nginx {share:.0%} are with one of 2 workers", flush=True)
    return share <= MOST_SHARE


class Pages(threading.Thread):
    """Loads pages while something ends.

    Attributes:
        worst: how long one took, in seconds.
        failed: how many got no answer.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url, self.worst, self.failed, self.is_over = url, 0.0, 0, False

    def run(self) -> None:
        while not self.is_over:
            began = time.monotonic()
            try:
                with urllib.request.urlopen(self.url, timeout=30) as answer:
                    answer.read()
            except OSError:
                self.failed += 1
            self.worst = max(self.worst, time.monotonic() - began)
            time.sleep(0.02)


def ends(modules: Path, clients: int) -> bool:
    """How soon clients go on."""
    actions: dict[str, Callable[[int, int], None]] = {
        "killed": lambda _, worker: os.kill(worker, signal.SIGKILL),
        "told to end": lambda _, worker: os.kill(worker, signal.SIGTERM),
        "reloaded": lambda primary, _: os.kill(primary, signal.SIGHUP),
    }
    is_right = True
    for (what, act), transport in itertools.product(actions.items(), ("polling", "websocket")):
        with running(modules) as servers:
            url, primary = servers.serve(Setup())
            seconds, pages = returned(servers, url, transport, clients, partial(act, primary), what)
        print(
            f"ends: {what}, {transport}: {clients} clients go on within {seconds:.2f} s, "
            f"no page took more than {pages.worst * 1000:.0f} ms, {pages.failed} failed",
            flush=True,
        )
        is_right = is_right and seconds < MOST_SECONDS[what]
        if what != "killed":  # which takes with it what that worker was answering
            is_right = is_right and not pages.failed and (what != "reloaded" or pages.worst < MOST_LATENCY)
    return is_right


def returned(
    servers: Running, url: str, transport: str, clients: int, act: Callable[[int], None], what: str
) -> tuple[float, Pages]:
    command = ["node", str(HERE / "returning.js"), url, transport, str(clients)]
    with subprocess.Popen(
        command, env=servers.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        worker = program.stdout.readline().split()[1]
        pages = Pages(url)
        pages.start()
        program.stdin.write("all\n" if what == "reloaded" else f"{worker}\n")
        program.stdin.flush()
        try:
            act(int(worker))
            seconds = float(program.stdout.readline())
        finally:
            pages.is_over = True
            pages.join()
    return seconds, pages


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", type=Path, help="where npm has installed socket.io-client")
    parser.add_argument("--clients", type=int, default=30)
    parser.add_argument("--events", type=int, default=10)
    parser.add_argument("--only", help=f"some of {','.join([*SETUPS, 'spread', 'ends'])}")
    parser.add_argument("--columns", help=f"some of {','.join(map('-'.join, COLUMNS))}")
    options = parser.parse_args()
    modules = options.modules.resolve()
    asked = options.only.split(",") if options.only else [*SETUPS, "spread", "ends"]
    names = [name for name in asked if name in SETUPS]
    columns = [one for one in COLUMNS if not options.columns or "-".join(one) in options.columns.split(",")]
    is_right = check(modules, names, columns, options.clients, options.events) if names else True
    if "spread" in asked:
        is_right = spread(modules) and is_right
    if "ends" in asked:
        is_right = ends(modules, options.clients) and is_right
    return int(not is_right)


if __name__ == "__main__":
    sys.exit(main())
