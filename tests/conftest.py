"""What all tests of the project share."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import os
import signal
import sys
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from _pytest.assertion.rewrite import PYC_TAIL

from pytest_cluster.options import settings
from pytest_cluster.server.fork_server import fork_server

if TYPE_CHECKING:
    from stage import Play

APPS = Path(__file__).parent / "apps"

# While tests are imported and collected it would look at all of them again with every few hundred more.
gc.disable()

# What several files of tests import: they are no package (import mode importlib), so the folder is named here.
sys.path.append(str(Path(__file__).parent / "support"))
sys.path.append(str(Path(__file__).parent / "fuzz"))
pytest.register_assert_rewrite(
    *("cells", "chaos", "dealing", "h2_client", "invariants", "journeys", "keepers", "person"),
    *("raw_http", "recordings", "redis_server", "remote_control", "routed_client", "socketio_clients", "stock"),
)

# The tests start some two thousand Pythons. Where bytecode is not kept, as in many containers, each of them compiles
# every module again, which is a quarter of all the work.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A signal that is ignored, as by nohup or by a script's "&", stays ignored in every process started here, and some
# tests send it. One that has a handler is at its default there.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)  # this run itself goes on without its terminal

# No test depends on how fast the machine is; and what is accepted or not does not depend on chance.
# With hypothesis' own profile "ci", as in a step of .ci/run, ten times as many inputs are made up.
hypothesis.settings.register_profile("project", deadline=None, derandomize="CI" in os.environ, max_examples=10)
hypothesis.settings.load_profile("project")


def _leave(pid: int) -> None:
    """End without taking apart a million objects, for which a process of xdist takes a second or two."""
    if os.getpid() == pid:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


if "PYTEST_XDIST_WORKER" in os.environ:
    # Called behind whatever is registered from here on, and in place of what was before: logging's end, for example.
    atexit.register(_leave, os.getpid())


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults", "tests/faults")
    group.addoption("--chaos-seed", type=int, default=1, help="of tests/faults/test_chaos.py: what happens")
    group.addoption("--chaos-seconds", type=float, default=8.0, help="of the same: how long")
    group.addoption("--soak", type=float, default=0.1, metavar="MINUTES", help="of tests/faults/test_soak.py: how long")
    parser.addoption("--record", action="store_true", help="write what Node and the stock worker say")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Refine ``--dist loadfile``; any other way of dealing is xdist's own."""
    if config.getvalue("dist") != "loadfile":
        return None
    from neighbours import NeighbourScheduling

    return NeighbourScheduling(config, log)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let the collector come back when all tests are there."""
    try:
        with _compiling():
            return (yield)
    finally:
        gc.enable()


@contextlib.contextmanager
def _compiling() -> Iterator[None]:
    """Let one process of xdist compile the tests of a fresh clone for all: that takes longer than to collect them."""
    last = max((Path(__file__).parent / "plugin").glob("test_*.py"))  # in the order of testpaths
    if (last.parent / "__pycache__" / f"{last.stem}{PYC_TAIL}").exists():
        yield
        return
    with open(__file__, encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Mark the cells of tables while each table is there as a whole, before ``--lf`` or a test's id chooses of them."""
    from tables import mark_cells

    report = yield
    if isinstance(collector, pytest.Module | pytest.Class):
        mark_cells(report.result or ())
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what the installed gunicorn is too old for."""
    from old_gunicorn import skip_asgi

    skip_asgi(items)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Keep the collector from thousands of tests and their modules, which live as long as the run.

    Tests that count descriptors collect what others have left: 0.2 s each time, and a millisecond without them.  What
    is garbage by now stays: to find it takes a tenth of the time of collecting the tests.
    """
    gc.freeze()


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a program under ``nodecluster``; see :mod:`stage`."""
    from stage import player

    return player(tmp_path)


@pytest.fixture(scope="session", autouse=True)
def forked_programs(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let the programs that tests run by themselves be forked where the plugin's servers are."""
    fork_server.acquire(wanted=settings.value_of(request.config, "fork_server").value)
    yield
    fork_server.drop()


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of worker that a test is run with; see ``support/kinds.py``."""
    name: str = request.param
    return name


@pytest.fixture
def recording_anew(request: pytest.FixtureRequest) -> bool:
    """Whether tests write recordings, in place of verifying them."""
    return bool(request.config.getoption("--record"))


@pytest.fixture(scope="session")
def cluster_options() -> Mapping[str, Any]:
    """Serve the small applications of tests/apps: ``app="pid_echo:app"``.

    Only that folder is added to the path, so that the packages under test are the installed ones.
    """
    return {"app": "pid_echo:app", "settings": {"pythonpath": str(APPS)}, "cwd": None}
