"""Run a server that is checked, with a proxy in front of it and with TLS, and its clients."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE))

from run import PATIENCE, Servers, free_port  # noqa: E402
from setups import Setup  # noqa: E402

KEEPALIVE: Final = "75"  # nginx keeps those to its upstream for 60 seconds
HANDSHAKE: Final = "/socket.io/?EIO=4&transport=polling"

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
