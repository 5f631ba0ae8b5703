"""``--cluster-fork-server``: what is forked is what its command would have started; what could tell is not forked."""

from __future__ import annotations

import gc
import inspect
import os
import quopri
import re
import resource
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import gunicorn
import pytest

from pytest_cluster import Cluster, ClusterFactory, StartError
from pytest_cluster.server.fork_server import fork_server
from pytest_cluster.server.forked import ForkedProcess
from pytest_cluster.waiting import poll

HERE = Path(__file__).parent
SCRIPT = """
import re, sys
from test_fork_server import whole_process
for what, value in whole_process().items():
    print(what, re.sub(r" at 0x[0-9a-f]+", "", repr(value)))
"""

ENDING = """
import atexit, os, sys, threading
go = threading.Event()
class Held:
    def __del__(self, write=os.write):
        write(1, b"destroyed\\n")
held = Held()
atexit.register(print, "atexit")
threading.Thread(target=lambda: (go.wait(), print("thread", flush=True))).start()
threading.Timer(0, go.set).start()
{end}
"""
OWN_CLASS = """
import sys, types
from nodecluster_compat import ThreadWorker
sys.modules["own_class"] = types.ModuleType("own_class")
sys.modules["own_class"].Worker = ThreadWorker
"""
PROGRAM_SEES = re.compile(r"^(\w+)=", re.MULTILINE)


def stream(one: Any) -> list[object]:
    known = [one.name, one.mode, one.encoding, one.errors, one.line_buffering, one.newlines]
    return [*known, one.write_through, one.isatty(), one.buffer.name, type(one.buffer)]


def disposition(number: int) -> str:
    handler = signal.getsignal(number)
    return getattr(handler, "__name__", str(handler))


def open_descriptors() -> list[str]:
    """What they are open on, without those of standard error: the log has one of its own from some moment on."""
    error, found = os.readlink("/proc/self/fd/2"), []
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return sorted(re.sub(r"\d+|(?<=^/tmp/).*", "N", each) for each in found if each != error)


def whole_process() -> dict[str, object]:
    """What a process can find out of how it was started."""
    main = sys.modules["__main__"]
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    links = {name: os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if int(name) < 3}
    return {
        "argv": sys.argv,
        "orig_argv": sys.orig_argv,
        "path": sys.path,
        "flags": str(sys.flags),
        "warnings": [str(each) for each in warnings.filters],
        "main": sorted(vars(main)),
        "main is": [main.__name__, main.__file__, str(main.__spec__), main.__package__],
        "cwd": os.getcwd(),
        "umask": status["Umask"],
        "session": [os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()],
        "command": Path("/proc/self/cmdline").read_bytes().rstrip(b"\0"),
        "name": Path("/proc/self/comm").read_text(),
        "signals": [status[name] for name in ("SigBlk", "SigIgn", "SigCgt", "ShdPnd")],
        "handlers": {number: disposition(number) for number in signal.valid_signals()},
        "environment": {name: value for name, value in os.environ.items() if name != "NODECLUSTER_JOURNAL_FD"},
        "descriptors": min((open_descriptors() for _ in range(300)), key=len),  # a thread, or popen, may hold one
        "environment of programs": sorted(os.environ) == sorted(PROGRAM_SEES.findall(os.popen("env").read())),
        "links": links,
        "journal": os.get_inheritable(int(os.environ["NODECLUSTER_JOURNAL_FD"])),
        "threads": [status["Threads"], len(threading.enumerate())],
        "thread": threading.current_thread() is threading.main_thread(),
        "streams": [stream(each) for each in (sys.stdin, sys.stdout, sys.stderr)],
        "original streams": [sys.stdin is sys.__stdin__, sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__],
        "modules": sorted(sys.modules),
        "collector": [gc.isenabled(), gc.get_threshold(), gc.get_debug()],
        "limits": [resource.getrlimit(each) for each in (resource.RLIMIT_NOFILE, resource.RLIMIT_STACK)],
        "recursion": [sys.getrecursionlimit(), sys.getswitchinterval(), sys.gettrace(), sys.getprofile()],
        "hooks": [sys.excepthook is sys.__excepthook__, sys.displayhook is sys.__displayhook__],
    }


def told(cluster: Cluster) -> dict[str, str]:
    """The same for every cluster: the names of its own are replaced."""
    server = cluster.server
    own = {server.folder: "<folder>", server.tag: "<tag>", server.control.token: "<token>"}
    return {what: anonymous(value, own) for what, value in cluster.primary.run(whole_process).items()}


def differing(one: Cluster, other: Cluster) -> dict[str, tuple[str, str]]:
    """What two clusters are told differently."""
    here, there = told(one), told(other)
    return {what: (here[what], there[what]) for what in here if here[what] != there[what]}


def anonymous(value: object, own: dict[str, str]) -> str:
    text = re.sub(r" at 0x[0-9a-f]+", "", repr(value))
    for name, shown in own.items():
        text = text.replace(name, shown)
    return text


def is_forked(cluster: Cluster) -> bool:
    return isinstance(cluster.server.process, ForkedProcess)


@pytest.fixture(autouse=True)
def forking() -> Iterator[None]:
    """Also when the run itself does not."""
    fork_server.acquire(wanted=True)
    yield
    fork_server.drop()


@pytest.mark.table(quick=["gevent"])
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="gevent"),
        pytest.param({"worker_class": "nodecluster_compat.ThreadWorker"}, id="threads"),
        pytest.param(
            {"worker_class": "nodecluster_compat.ASGIWorker", "app": "asgi_app:app"},
            id="asgi",
            marks=pytest.mark.skipif(gunicorn.version_info < (27, 0, 1), reason="ASGIWorker needs gunicorn 27.0.1"),
        ),
        pytest.param({"config": OWN_CLASS, "worker_class": "own_class.Worker"}, id="a class of its own"),
    ],
)
def test_what_is_forked_is_what_its_command_starts(cluster_factory: ClusterFactory, options: dict[str, Any]) -> None:
    """As far as Python and /proc can tell, with each kind of worker."""
    forked = cluster_factory(workers=1, **options)
    executed = cluster_factory(workers=1, **options, fork_server=False)
    assert is_forked(forked)
    assert not is_forked(executed)
    # A thread holds a descriptor for a moment, now and then.
    assert poll(lambda: not differing(forked, executed), 20.0), differing(forked, executed)


@pytest.mark.slow
def test_script_that_is_forked_is_what_its_command_runs(tmp_path: Path) -> None:
    """The same, for ``python -m nodecluster_compat``."""
    (tmp_path / "state.py").write_text(f"import sys\nsys.path.append({str(HERE)!r})\n{SCRIPT}")
    command = [sys.executable, "-m", "nodecluster_compat", "state.py", "--an", "argument"]
    environment = {**os.environ, "NODECLUSTER_JOURNAL_FD": "1"}
    said = []
    for is_forked in (True, False):
        with open(tmp_path / "out", "w+b") as out, open(os.devnull, "rb") as nothing:
            streams = {0: nothing.fileno(), 1: out.fileno(), 2: out.fileno()}
            process: Any
            if is_forked:
                process = fork_server.start(command, folder=str(tmp_path), environment=environment, descriptors=streams)
            else:
                process = subprocess.Popen(
                    command,
                    cwd=tmp_path,
                    env=environment,
                    stdin=nothing,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                )
            assert isinstance(process, ForkedProcess) == is_forked
            assert process.wait(30) == 0
            out.seek(0)
            said.append(out.read().decode().splitlines())
    assert said[0] == said[1]


@pytest.mark.table(quick=["{'env': {'FORWARDED_ALLOW_IPS': '127.0.0.1'}}"])
@pytest.mark.parametrize(
    "options",
    [
        {"fork_server": False},
        {"env": {"FORWARDED_ALLOW_IPS": "127.0.0.1"}},
        {"config": "from gevent import monkey; monkey.patch_all()"},
        {"worker_class": "gevent"},
    ],
    ids=str,
)
def test_what_could_tell_is_started_by_its_command(cluster_factory: ClusterFactory, options: dict[str, Any]) -> None:
    assert not is_forked(cluster_factory(workers=1, **options))


def test_server_that_is_not_under_test_knows_nothing_of_the_plugin(cluster_factory: ClusterFactory) -> None:
    from remote_control import REMOTE, ask  # not at the top: servers import this file

    cluster = cluster_factory(**REMOTE, workers=1, env={"NODECLUSTER_TEST_TOKEN": None})
    assert is_forked(cluster)
    assert ask(cluster, "primary", "import sys; result = [name for name in sys.modules if 'pytest' in name]") == []


@pytest.mark.slow
def test_module_in_front_of_the_templates_is_imported(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    """A folder that hides what the template has imported."""
    (tmp_path / "quopri.py").write_text(f"{inspect.getsource(quopri)}\nmine = True\n")
    cluster = cluster_factory(workers=1, env={"PYTHONPATH": str(tmp_path)}, config="import quopri; assert quopri.mine")
    assert not is_forked(cluster)


def test_ends_of_a_forked_server_are_known(cluster_factory: ClusterFactory) -> None:
    """Its exit code and its signal, as if it were a child of pytest."""
    ended, killed = cluster_factory(workers=1), cluster_factory(workers=1)
    ended.primary.signal("SIGTERM")
    assert ended.server.process.wait(30) == 0
    killed.primary.kill()
    assert killed.server.process.wait(30) == -signal.SIGKILL
    with pytest.raises(StartError, match="ended with exit code 7"):
        cluster_factory(workers=1, config="import sys; sys.exit(7)")


@pytest.mark.table(quick=["sys.exit('words')-1"])
@pytest.mark.parametrize(
    ("end", "code"), [("pass", 0), ("sys.exit(3)", 3), ("sys.exit(-1)", 255), ("sys.exit('words')", 1), ("1 / 0", 1)]
)
def test_program_that_is_forked_comes_to_its_end(tmp_path: Path, end: str, code: int) -> None:
    """Threads, ``atexit``, streams, exit code and last words are as ever; what modules hold is not destroyed."""
    from programs import run_program  # not at the top: servers import this file

    (tmp_path / "ending.py").write_text(ENDING.format(end=end))
    command = [sys.executable, "-m", "nodecluster_compat", "ending.py"]
    said = []
    for _ in range(2):
        done = run_program(command, cwd=tmp_path)
        assert done.returncode == code
        said.append((done.stdout.splitlines(), done.stderr.rpartition("\n  File")[2].splitlines()[-1:]))
        fork_server.acquire(wanted=False)
    for _ in range(2):
        fork_server.drop()
    (forked, its_error), (executed, error) = said
    assert executed == ["thread", "atexit", "destroyed"]
    assert forked == executed[: 3 if "words" in end else 2]  # which Python itself prints, and ends
    assert its_error == error


@pytest.mark.slow
def test_template_that_is_gone_is_done_without(cluster_factory: ClusterFactory) -> None:
    """Servers are started by their commands, then, and a new run has a new template."""
    from raw_http import parent_of  # not at the top: servers import this file

    first = cluster_factory(workers=1)
    assert is_forked(first)  # otherwise its parent is this process
    os.kill(parent_of(first.primary.pid), signal.SIGKILL)
    first.primary.kill()
    assert not is_forked(cluster_factory(workers=1))
    fork_server.renew()
    assert is_forked(cluster_factory(workers=1))


@pytest.mark.slow
def test_template_ends_with_the_run(shop: pytest.Pytester) -> None:
    """And a run that does not ask for it has none."""
    shop.makepyfile(
        """
        import os

        def test_it(cluster):
            parent = open(f"/proc/{cluster.primary.pid}/stat").read().rpartition(")")[2].split()[1]
            open("parent", "w").write(parent)
            assert (int(parent) == os.getpid()) == IS_OFF
        """.replace("IS_OFF", "(not os.environ.get('PYTEST_CLUSTER_FORK_SERVER'))")
    )
    shop.makeini("[pytest]\ncluster_app = shop:app\n")
    shop.runpytest_subprocess().assert_outcomes(passed=1)
    os.environ["PYTEST_CLUSTER_FORK_SERVER"] = "1"
    try:
        shop.runpytest_subprocess().assert_outcomes(passed=1)
    finally:
        del os.environ["PYTEST_CLUSTER_FORK_SERVER"]
    assert not Path(f"/proc/{(shop.path / 'parent').read_text()}").exists()
