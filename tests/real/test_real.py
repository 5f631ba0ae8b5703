"""Real applications on this worker class and on ``-k gevent``: equal answers, equal logs, equal files left.

Each is started, used, reloaded (HUP), used, loses a worker (``kill -9``), is used again and ended (TERM).
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from journeys import IN_MEMORY, JOURNEYS
from ports import free_port
from raw_http import GUNICORN

from pytest_cluster.waiting import poll

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

APPS: Final = Path(__file__).parent / "apps"
CONFIG: Final = """
accesslog = "access.log"
errorlog = "error.log"
graceful_timeout = 10
control_socket_disable = True
forwarded_allow_ips = "192.0.2.1"
access_log_format = '%(m)s %(U)s%(q)s %(H)s %(s)s %(B)s'
"""
WORKER_CLASSES: Final = {"ours": "nodecluster_compat.Worker", "stock": "gevent"}
NOT_COMPARED: Final = {"Date", "Server", "Transaction-ID"}
# What the two servers say of themselves, each in its words.
OF_THE_SERVER: Final = re.compile(
    r"gunicorn|[Ww]orker|Booting|Listening|Handling|Shutting|Hang up|[Rr]eload|nodecluster|Control socket"
)


PATIENCE: Final = 90.0


class Seen(NamedTuple):
    """What is left of a server's life."""

    answers: list[str]
    access: Counter[str]
    errors: Counter[str]
    files: Counter[str]
    code: int


def until(check: Callable[[], object], what: str) -> None:
    assert poll(check, PATIENCE), f"expected {what}, which did not happen"


def plain(text: str) -> str:
    """Return a text without what chance and time put into it: tokens, numbers, dates."""
    text = re.sub(r"\bitems/\w+", "items/*", text)
    text = re.sub(r"[A-Za-z0-9_+/=.!:$~-]{20,}", lambda found: "*" if re.search(r"\d", found[0]) else found[0], text)
    text = re.sub(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\w*", "@", text)
    return re.sub(r"\d+", "0", text)


class Server:
    """A ``gunicorn`` in a folder of its own, and a client that notes every answer."""

    def __init__(self, name: str, worker_class: str, folder: Path) -> None:
        import requests

        self.folder = folder
        self.port = free_port()
        self.workers = 1 if name in IN_MEMORY else 2
        (folder / "gunicorn.conf.py").write_text(CONFIG)
        bind = f"127.0.0.1:{self.port}"
        command = [GUNICORN, "-k", worker_class, "-w", str(self.workers), "-b", bind, f"{name}_app:app"]
        with (folder / "out.log").open("w") as out:
            environment = {**os.environ, "PYTHONPATH": str(APPS), "PYTHONWARNINGS": "ignore", "PYTHONHASHSEED": "0"}
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=out)
        self.answers: list[str] = []
        self.session = requests.Session()
        self.session.headers["Connection"] = "close"  # each request may reach another worker

    def log(self) -> str:
        path = self.folder / "error.log"
        return path.read_text() if path.exists() else ""

    def use(self, name: str, turn: int) -> None:
        self.session.cookies.clear()
        JOURNEYS[name](self.visit, turn)

    def accesses(self) -> list[str]:
        """The lines of the access log, but for those of :meth:`ready`."""
        lines = (self.folder / "access.log").read_text().splitlines()
        return [line for line in lines if not line.startswith("OPTIONS / ")]

    def has_noted_all(self) -> bool:
        """Whether every request is in the access log; or none, where the application has switched it off."""
        return len(self.accesses()) in (0, len(self.answers))

    def children(self) -> list[int]:
        return [
            int(pid) for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ]

    def visit(self, method: str, path: str, **options: Any) -> Any:
        streamed = options.pop("stream", False)
        url = f"http://127.0.0.1:{self.port}{path}"
        answer = self.session.request(method, url, timeout=PATIENCE, allow_redirects=False, stream=streamed, **options)
        body = b"".join(answer.iter_content(1000)) if streamed else answer.content
        fields = sorted(f"{name}: {value}" for name, value in answer.headers.items() if name not in NOT_COMPARED)
        text = body.decode("utf-8", "replace").replace(str(self.port), "PORT").replace(str(self.folder), "FOLDER")
        told = f"{method} {path} {answer.status_code} {fields}".replace(str(self.port), "PORT")
        self.answers.append(plain(told) + "\n" + plain(text)[:20000])
        return answer

    def ready(self, times: int) -> None:
        """Wait until so many workers have booted since the start."""
        until(lambda: self.log().count("Booting worker") >= times or self.process.poll() is not None, f"{times} boots")
        until(self.answers_at_all, "an answer")

    def answers_at_all(self) -> bool:
        import requests

        try:
            requests.options(f"http://127.0.0.1:{self.port}/", timeout=PATIENCE, headers={"Connection": "close"})
        except requests.ConnectionError:
            assert self.process.poll() is None, (self.folder / "out.log").read_text() + self.log()
            return False
        return True


def settled(server: Server, old: set[int], count: int) -> None:
    until(lambda: len(set(server.children()) - old) >= count and not old & set(server.children()), "new workers")


def life(name: str, worker_class: str, folder: Path) -> Seen:
    server = Server(name, worker_class, folder)
    try:
        server.ready(server.workers)
        server.use(name, 1)
        old = set(server.children())
        server.process.send_signal(signal.SIGHUP)
        settled(server, old, server.workers)
        server.ready(2 * server.workers)
        server.use(name, 2)
        until(server.has_noted_all, "a line for each request")  # which is written behind its answer
        victim = server.children()[0]
        os.kill(victim, signal.SIGKILL)
        settled(server, {victim}, server.workers)
        server.ready(2 * server.workers + 1)
        server.use(name, 3)
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(PATIENCE)
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        server.session.close()
    return seen(server, code)


def seen(server: Server, code: int) -> Seen:
    lines = [*server.log().splitlines(), *(server.folder / "out.log").read_text().splitlines()]
    # Not the frames of a traceback, which begin in the server.
    told = [line for line in lines if line.strip() and line[0] != " " and not OF_THE_SERVER.search(line)]
    errors = [plain(line.replace(str(server.folder), "FOLDER")) for line in told]
    return Seen(
        server.answers, Counter(map(plain, server.accesses())), Counter(errors), Counter(left(server.folder)), code
    )


def left(folder: Path) -> Iterator[str]:
    """Every file by its name, and what is in it; of a larger or a binary one, how much."""
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and not name.endswith((".pyc", "error.log", "out.log", "access.log")):
            yield plain(name) + ": " + contents(path).replace(str(folder), "FOLDER")


def contents(path: Path) -> str:
    try:
        return plain(path.read_text()) if path.stat().st_size < 4096 else str(rows(path))
    except UnicodeDecodeError:
        return str(path.stat().st_size)


def rows(path: Path) -> object:
    """The number of rows of each table of a database; of another file its size."""
    if path.read_bytes()[:6] != b"SQLite":
        return path.stat().st_size
    import sqlite3

    with sqlite3.connect(path) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in sorted(tables)}


@pytest.mark.parametrize("name", [path.stem.removesuffix("_app") for path in sorted(APPS.glob("*_app.py"))])
def test_application(name: str, tmp_path: Path) -> None:
    if find_spec({"fab": "flask_appbuilder"}.get(name, name)) is None:
        pytest.skip(f"{name} is not installed: tox -e real")
    prepared = tmp_path / "prepared"
    prepared.mkdir()
    source = f"import {name}_app as app; getattr(app, 'prepare', lambda: None)()"
    environment = {**os.environ, "PYTHONPATH": str(APPS)}
    subprocess.run([sys.executable, "-W", "ignore", "-c", source], cwd=prepared, env=environment, check=True)
    seen_by = {}
    for label, worker_class in WORKER_CLASSES.items():
        shutil.copytree(prepared, tmp_path / label)
        seen_by[label] = life(name, worker_class, tmp_path / label)
    ours, stock = seen_by["ours"], seen_by["stock"]
    assert ours.answers == stock.answers
    assert ours.access == stock.access
    assert ours.errors == stock.errors
    assert ours.files == stock.files
    assert ours.code == stock.code == 0
