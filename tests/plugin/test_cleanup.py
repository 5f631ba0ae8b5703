"""The contract: whatever ends pytest, nothing of a cluster is left.  Real processes, really killed."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import termios
import threading
from pathlib import Path
from typing import IO

import pytest
from own_descriptors import forget_others

import pytest_cluster
from pytest_cluster import ClusterOptions, StartError
from pytest_cluster.server.guard import guard
from pytest_cluster.server.leaks import TAG_VARIABLE, cluster_members, kill_cluster
from pytest_cluster.server.server_process import ServerProcess
from pytest_cluster.server.stale import remove_stale_socket
from pytest_cluster.waiting import poll

# The test in the run inside writes down what must be gone afterwards, then does what its name says.
PROJECT = """
import os, signal, sys, time
import pytest

def note(cluster):
    with open("noted", "w") as file:
        print(cluster.primary.pid, cluster.server.tag, cluster.server.folder, cluster.port, file=file)
    os.rename("noted", "ready")

def test_sleeps(cluster):
    note(cluster)
    time.sleep(60)

def test_exits(cluster):
    note(cluster)
    os._exit(3)

def test_is_stopped(cluster):
    note(cluster)
    os.kill(cluster.primary.pid, signal.SIGSTOP)
    for worker in cluster.workers:
        os.kill(worker.pid, signal.SIGSTOP)
    time.sleep(60)

@pytest.mark.cluster(settings={"bind": ["127.0.0.1:0", "unix:web.sock"]})
def test_listens_at_a_file(cluster):
    assert os.path.exists("web.sock")
    test_is_stopped(cluster)

def test_starts_a_daemon(cluster):
    cluster.workers[0].run(start_a_daemon)
    note(cluster)
    time.sleep(60)

def start_a_daemon():
    import subprocess
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)

def test_fails(cluster):
    note(cluster)
    assert False

def test_ends_pytest(cluster):
    note(cluster)
    pytest.exit("enough")

def test_breaks_pytest(cluster):
    note(cluster)

HANG = "def on_exit(server): import time; open('ending', 'w').close(); time.sleep(60)"

@pytest.mark.cluster(config=HANG, settings={"graceful_timeout": 1}, start_timeout=30)
def test_hangs_at_the_end(cluster):
    note(cluster)

@pytest.mark.cluster(config=HANG, settings={"graceful_timeout": 1}, start_timeout=30)
def test_waits_and_then_hangs(cluster):
    note(cluster)
    time.sleep(60)

def test_next(): pass
"""


FAKES = Path(__file__).parent / "fakes"


class Inner:
    """A pytest of its own in a process group of its own."""

    def __init__(self, pytester: pytest.Pytester, *arguments: str) -> None:
        pytester.makepyfile(PROJECT)
        self.path = pytester.path
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
        with (self.path / "output").open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=self.path, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True
            )

    def wait_ready(self) -> None:
        assert poll((self.path / "ready").exists, 40), self.output
        pid, tag, folder, port = (self.path / "ready").read_text().split()
        self.session, self.tag, self.folder, self.port = int(pid), tag, folder, int(port)
        assert cluster_members(self.session, self.tag)

    @property
    def output(self) -> str:
        return (self.path / "output").read_text()

    def wait(self) -> int:
        return self.process.wait(60)

    def assert_nothing_left(self) -> None:
        """No process of the session or with the tag, no folder, no guard, no socket."""
        left = poll(lambda: not cluster_members(self.session, self.tag) and not Path(self.folder).exists(), 20)
        assert left, (cluster_members(self.session, self.tag), os.path.exists(self.folder))
        assert poll(lambda: not guards_of(self.process.pid), 20)
        assert self.folder not in Path("/proc/net/unix").read_text()
        assert not (self.path / "web.sock").exists()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", self.port), 20).close()


def guards_of(parent: int) -> list[int]:
    """The guards that this pytest had started; their parent is 1 once it is gone, so they are known by their pipe."""
    return [member.pid for member in cluster_members(parent, None) if "guard.py" in member.command]


@pytest.fixture
def inner(shop: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setenv("PYTEST_CLUSTER_FORK_SERVER", "0")  # a single cluster each: a template would not pay
    started: list[Inner] = []

    def start(*arguments: str) -> Inner:
        started.append(Inner(shop, *arguments))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        if hasattr(one, "session"):
            kill_cluster(one.session, one.tag)
            shutil.rmtree(one.folder, ignore_errors=True)  # of the cluster whose guard was killed


@pytest.mark.table(quick=["test_sleeps"])
@pytest.mark.parametrize("test", ["test_sleeps", "test_is_stopped", "test_listens_at_a_file", "test_starts_a_daemon"])
def test_sigkill_of_pytest(inner: type[Inner], test: str) -> None:
    """Also when primary and workers are stopped, and when a worker's child has left the session."""
    run = inner("-k", test)
    run.wait_ready()
    run.process.kill()
    run.wait()
    run.assert_nothing_left()


@pytest.mark.slow
def test_sigkill_of_pytest_and_its_guard(inner: type[Inner]) -> None:
    """The leash alone: the primary sees that the test is gone."""
    run = inner("-k", "test_sleeps")
    run.wait_ready()
    guards = [int(name) for name in os.listdir("/proc") if name.isdigit() and is_guard_of(int(name), run.process.pid)]
    assert len(guards) == 1
    for pid in (*guards, run.process.pid):
        os.kill(pid, signal.SIGKILL)
    run.wait()
    assert poll(lambda: not cluster_members(run.session, run.tag), 20)


def is_guard_of(pid: int, parent: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[1]) == parent and "guard.py" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


def test_ctrl_c_once(inner: type[Inner]) -> None:
    run = inner("-k", "test_sleeps")
    run.wait_ready()
    run.process.send_signal(signal.SIGINT)
    assert run.wait() == pytest.ExitCode.INTERRUPTED
    run.assert_nothing_left()


@pytest.mark.slow
def test_ctrl_c_twice(inner: type[Inner]) -> None:
    """The second comes while the cluster ends: pytest itself waits no longer."""
    run = inner("-k", "test_waits_and_then_hangs")
    run.wait_ready()
    run.process.send_signal(signal.SIGINT)
    assert poll((run.path / "ending").exists, 20), run.output
    assert cluster_members(run.session, run.tag)
    for _ in range(5):  # Python loses an interrupt that comes amid a destructor: then one presses the keys again
        run.process.send_signal(signal.SIGINT)
        if poll(lambda: run.process.poll() is not None, 5):
            break
    assert run.wait() == -signal.SIGINT, run.output
    assert "was killed" not in run.output
    run.assert_nothing_left()


@pytest.mark.slow
def test_os_exit(inner: type[Inner]) -> None:
    run = inner("-k", "test_exits")
    run.wait_ready()
    assert run.wait() == 3
    run.assert_nothing_left()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("-x", "-k", "test_fails or test_next"), pytest.ExitCode.TESTS_FAILED),
        (("--maxfail=1", "-k", "test_fails or test_next"), pytest.ExitCode.TESTS_FAILED),
        (("-k", "test_ends_pytest"), pytest.ExitCode.INTERRUPTED),
        (("-k", "test_breaks_pytest", "-p", "breaker"), pytest.ExitCode.INTERNAL_ERROR),
    ],
    ids=["first failure", "most failures", "its end", "its fault"],
)
def test_run_that_is_cut_short(
    inner: type[Inner], shop: pytest.Pytester, arguments: tuple[str, ...], code: int
) -> None:
    shop.makepyfile(breaker="def pytest_runtest_logreport(report):\n    assert report.when == 'setup'\n")
    run = inner(*arguments)
    run.wait_ready()
    assert run.wait() == code, run.output
    run.assert_nothing_left()


@pytest.mark.slow
def test_hang_at_the_end_is_that_tests_failure(inner: type[Inner]) -> None:
    """With the stacks, and with nothing left."""
    run = inner("-k", "test_hangs_at_the_end or test_next", "--cluster-slow-factor=0.2")
    run.wait_ready()
    assert run.wait() == pytest.ExitCode.TESTS_FAILED
    assert "ERROR at teardown of test_hangs_at_the_end" in run.output
    assert "still ran 3 s after SIGTERM and was killed" in run.output
    assert "stacks of primary" in run.output
    assert "2 passed, 9 deselected, 1 error" in run.output
    run.assert_nothing_left()


@pytest.mark.parametrize(
    ("broken", "runs"),
    [("prepared_files.Control", False), ("prepared_files.Journal", False), ("guard.guard.watch", True)],
)
def test_interrupt_around_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, broken: str, runs: bool) -> None:
    """What was begun is undone: the process, the folder, the descriptors, the threads."""

    def interrupt(*_: object, **__: object) -> None:
        assert bool(poll(lambda: cluster_members(None, "atag"), 10.0 if runs else 0.0)) is runs
        raise KeyboardInterrupt

    def held() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    guard.acquire()
    guard.announce("another", "/nowhere")  # it runs from now on
    forget_others()  # or what they have left is closed meanwhile
    before = held()
    monkeypatch.setattr(f"pytest_cluster.server.{broken}", interrupt)
    monkeypatch.setattr("secrets.token_hex", lambda _: "atag")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        ServerProcess(ClusterOptions(app="ready", cwd=str(FAKES), fork_server=False), pythonpath=".").start()
    assert cluster_members(None, "atag") == []
    assert list(tmp_path.iterdir()) == []
    assert held() == before
    guard.release("another")
    guard.drop()


def test_guard_needs_nothing_but_a_tag(tmp_path: Path) -> None:
    """Not the number of a session, and not its own files, which may have been removed when it acts."""
    installed, folder = tmp_path / "installed", tmp_path / "folder"
    installed.mkdir()
    folder.mkdir()
    for name in ("guard.py", "leaks.py", "stale.py"):
        shutil.copy(Path(pytest_cluster.__file__).parent / "server" / name, installed)
    command = [sys.executable, "-I", "-S", str(installed / "guard.py")]
    environment = {**os.environ, TAG_VARIABLE: "onlythis"}
    with (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=environment) as server,
        subprocess.Popen(command, stdin=subprocess.PIPE) as guarding,
    ):
        assert guarding.stdin is not None
        guarding.stdin.write(f"+ onlythis {folder}\n".encode())
        guarding.stdin.flush()
        assert poll(lambda: unread(guarding.stdin) == 0, 20)
        shutil.rmtree(installed)
        guarding.stdin.close()
        assert guarding.wait(20) == 0
        assert server.wait(20) == -signal.SIGKILL
    assert not folder.exists()


def test_path_that_cannot_be_one_is_no_socket(tmp_path: Path) -> None:
    """And stops nobody who cleans up."""
    for path in ("\0abstract", str(tmp_path), str(tmp_path / "missing"), ""):
        remove_stale_socket(path)
    assert tmp_path.is_dir()


def unread(pipe: IO[bytes] | None) -> int:
    assert pipe is not None
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_disk_that_is_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The folder can be made, and nothing can be written into it."""

    def full(path: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    monkeypatch.setattr("pytest_cluster.server.prepared_files.Tallies", full)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(StartError, match=r"folder cannot be made: .*No space left .*; TMPDIR says where it should be"):
        ServerProcess(ClusterOptions(app="ready", cwd=str(FAKES)), pythonpath=".")
    assert list(tmp_path.iterdir()) == []


def test_tag_is_compared_as_a_whole() -> None:
    """A tag that another begins with is not that other."""
    environment = {**os.environ, TAG_VARIABLE: "abcdef"}
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=environment)
    try:
        assert poll(lambda: [one.pid for one in cluster_members(-5, "abcdef")] == [process.pid], 10)
        assert cluster_members(-5, "abc") == []
        assert cluster_members(-5, None) == []
    finally:
        process.communicate()


@pytest.mark.slow
def test_kept_cluster_runs_on_and_says_how_to_reach_it(shop: pytest.Pytester) -> None:
    """It serves after pytest has ended, starts new workers, and ends by the command that is printed."""
    import re
    import urllib.request

    shop.makepyfile("def test_it(cluster): assert False")
    result = shop.runpytest_subprocess("--cluster-keep")
    found = re.search(
        r"test_it: (http://\S+), primary pid (\d+), logs in (\S+); end it with: (kill \2 && rm -r \3)",
        result.stdout.str(),
    )
    assert found is not None
    pid, folder = int(found[2]), found[3]
    try:
        with urllib.request.urlopen(found[1], timeout=20) as answer:
            assert answer.read() == b"welcome"
        victim = next(one.pid for one in cluster_members(pid, None) if one.pid != pid)
        os.kill(victim, signal.SIGKILL)
        assert poll(lambda: victim not in [one.pid for one in cluster_members(pid, None)], 20)
        for _ in range(3):
            with urllib.request.urlopen(found[1], timeout=20) as answer:
                assert answer.read() == b"welcome"
        assert Path(folder, "server.log").exists()
        subprocess.run(found[4], shell=True, check=True, timeout=20)
        assert not Path(folder).exists()
        assert poll(lambda: not cluster_members(pid, None), 20)
    finally:
        kill_cluster(pid, None)
        shutil.rmtree(folder, ignore_errors=True)
