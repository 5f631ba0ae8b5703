"""The real things that the recipes need: Redis, PostgreSQL, collectors; and the recipes, from the page that has them.

Collected where the libraries are installed (``tox -e recipes``).  What the machine lacks is skipped.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest
from ports import answers, free_port
from recipes import PATIENCE, PROGRAMS, Collector, Start, program
from redis_server import PROGRAM

from pytest_cluster import Cluster, ClusterFactory
from pytest_cluster.waiting import poll

LIBRARIES: Final = (
    *("apscheduler", "celery", "flask_socketio", "grpc", "opentelemetry", "prometheus_client", "psycopg"),
    *(
        "psycopg_pool",
        "redis",
        "sentry_sdk",
        "sqlalchemy",
        "flask_caching",
        "flask_limiter",
        "flask_session",
        "slowapi",
    ),
)
collect_ignore = ["test_recipes.py"] if any(find_spec(name) is None for name in LIBRARIES) else []
if find_spec("setproctitle") is None:
    collect_ignore.append("test_titles.py")


@pytest.fixture
def start(cluster_factory: ClusterFactory, tmp_path: Path) -> Start:
    """Start the recipe of a name as the page has it, in a folder of its own."""
    (tmp_path / "recipe").mkdir()

    def start_recipe(
        name: str, workers: int = 2, *, preloaded: bool | None = None, worker_class: str | None = None, **env: str
    ) -> Cluster:
        config = PROGRAMS.get(f"{name}_conf.py", "")
        if preloaded is not None:  # whatever the page says
            config += f"\npreload_app = {preloaded}\n"
        for title, text in PROGRAMS.items():
            if title.startswith(f"{name}_"):
                (tmp_path / "recipe" / title).write_text(text)
        folder = str(tmp_path / "recipe")
        return cluster_factory(
            workers=workers,
            app=f"{name}_app:app",
            config=config,
            settings={"pythonpath": folder, "chdir": folder},
            env=env,
            **({} if worker_class is None else {"worker_class": worker_class}),
        )

    return start_recipe


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis of its own."""
    port = free_port()
    command = [program(PROGRAM), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        try:
            assert poll(lambda: answers(port), PATIENCE), "redis-server does not listen"
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.wait()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL of its own; where the tests run as root, which it refuses, as the user that Debian made."""
    folder = tempfile.mkdtemp(dir="/tmp")
    port = free_port()
    as_user: dict[str, Any] = {}
    if os.getuid() == 0:
        try:
            owner = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        as_user = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    data = f"{folder}/data"
    initdb = [program("initdb"), "-D", data, "-U", "shop", "--auth=trust", "--no-sync", "--locale=C", "--encoding=UTF8"]
    subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **as_user)
    options = ["-p", str(port), "-c", "listen_addresses=127.0.0.1", "-k", folder, "-c", "fsync=off"]
    command = [program("postgres"), "-D", data, *options]
    server = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL, **as_user)
    try:
        assert poll(lambda: answers(port), PATIENCE), "postgres does not listen"
        yield f"postgresql://shop@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    yield server
    server.close()


@pytest.fixture
def celery_worker(redis_url: str, tmp_path: Path) -> Iterator[None]:
    """A real one, which has the tasks of the page's program."""
    (tmp_path / "celery_app.py").write_text(PROGRAMS["celery_app.py"])
    options = ["-A", "celery_app:tasks", "worker", "--pool", "solo", "--loglevel", "WARNING"]
    command = [sys.executable, "-m", "celery", *options]
    environment = {**os.environ, "REDIS_URL": redis_url}
    worker = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    yield
    worker.terminate()
    worker.wait()
