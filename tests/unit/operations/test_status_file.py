"""The status as a file."""

from __future__ import annotations

import json
import os
import resource
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from nodecluster_compat.connections.queue_watch import QueueStatus
from nodecluster_compat.lifecycle.rollout import ReloadReport
from nodecluster_compat.operations.status_file import StatusFile, write_status
from nodecluster_compat.roles.status import ClusterStatus, WorkerStatus

WORKER = WorkerStatus(1, 8, "listening", "blocked", 1.5)
RELOAD = ReloadReport(1, "failed", "why", 2.5)
STATUS = ClusterStatus(7, "running", 2, 2, 0, 0, 1, (WORKER,), QueueStatus(3, 2, 1), 0, None, RELOAD, None)


def test_file_holds_every_field(tmp_path: Path) -> None:
    """Also those of the reload, and nothing is left beside it."""
    path = tmp_path / "status.json"
    path.write_text("old")
    write_status(STATUS, str(path))
    found = json.loads(path.read_text())
    assert (found["pid"], found["state"], found["upgrade"]) == (7, "running", None)
    assert found["reload"] == {"number": 1, "state": "failed", "reason": "why", "seconds": 2.5}
    [worker] = found["workers"]
    assert worker.items() >= {"id": 1, "pid": 8, "state": "listening", "health": "blocked", "lag": 1.5}.items()
    assert (found["schema"], found["exits"], worker["requests"]) == (1, [], None)
    assert found["queue"] == {"waiting": 3, "left": 2, "overdue": 1, "oldest_seconds": 0.0}
    assert list(tmp_path.iterdir()) == [path]


def test_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    """Neither a part nor a draft."""
    (tmp_path / "status.json").mkdir()
    with pytest.raises(OSError, match=r"status\.json"):
        write_status(STATUS, str(tmp_path / "status.json"))
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_file_is_a_new_one_and_follows_no_link(tmp_path: Path) -> None:
    """Somebody who may write in that folder cannot have the primary write elsewhere; everybody may read it."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "status.json").symlink_to(victim)
    (tmp_path / "status.json.7").symlink_to(victim)
    former = os.umask(0o027)
    try:
        write_status(STATUS, str(tmp_path / "status.json"))
    finally:
        os.umask(former)
    assert victim.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["status.json", "victim"]
    assert stat.S_IMODE((tmp_path / "status.json").lstat().st_mode) == 0o640


def test_disk_that_is_full_costs_the_new_file_only(tmp_path: Path) -> None:
    """The old one is whole, and no draft is left; here a limit of the file's size is the disk."""
    path = tmp_path / "status.json"
    write_status(STATUS, str(path))
    before = path.read_text()
    pid = os.fork()
    if not pid:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))
        try:
            write_status(replace(STATUS, state="degraded"), str(path))
        except OSError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


def test_file_of_two_servers_is_noticed_and_left_to_the_last(tmp_path: Path) -> None:
    """But not that of one that has gone, nor one that was there before."""
    path = str(tmp_path / "status.json")
    one, other = StatusFile(), StatusFile()
    assert one.write(STATUS, path) == 0
    assert one.write(STATUS, path) == 0
    assert other.write(replace(STATUS, pid=os.getpid()), path) == 0
    one.remove(path)
    assert os.path.exists(path)
    assert one.write(STATUS, path) == os.getpid()
    write_status(replace(STATUS, pid=2**22 + 1), path)  # beyond the largest pid: nobody's
    assert one.write(STATUS, path) == 0
    (tmp_path / "status.json").write_text("[")
    assert one.write(STATUS, path) == 0
    one.remove(path)
    assert not os.path.exists(path)


def test_file_of_another_server_is_not_ours_by_its_number(tmp_path: Path) -> None:
    """The number of a file that has gone is given to the next one, and each write makes a new file."""
    path = tmp_path / "status.json"
    one = StatusFile()
    one.write(STATUS, str(path))
    number = path.stat().st_ino
    path.write_text(json.dumps({"pid": os.getpid()}))
    os.utime(path, ns=(0, 0))
    assert path.stat().st_ino == number
    one.remove(str(path))
    assert path.exists()
    assert one.write(STATUS, str(path)) == os.getpid()


@pytest.mark.parametrize("kind", ["fifo", "link", "large", "infinite"])
def test_what_somebody_has_put_there_is_neither_waited_for_nor_followed(tmp_path: Path, kind: str) -> None:
    path, other = tmp_path / "status.json", tmp_path / "other"
    one = StatusFile()
    one.write(STATUS, str(path))
    path.unlink()
    other.write_text(json.dumps({"pid": os.getpid()}))
    make = {
        "fifo": lambda: os.mkfifo(path),
        "link": lambda: path.symlink_to(other),
        "large": lambda: path.write_text(" " * (1 << 23) + other.read_text()),
        "infinite": lambda: path.write_text('{"pid": 1e999}'),
    }
    make[kind]()
    assert one.write(STATUS, str(path)) == 0
    assert json.loads(path.read_text())["pid"] == STATUS.pid
