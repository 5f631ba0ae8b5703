"""The folder of a cluster that another process has, or has left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nodecluster_compat.machine import state_folder
from nodecluster_compat.machine.state_folder import StateFolder

OTHER = """
import sys
from nodecluster_compat.machine.state_folder import StateFolder
folder = StateFolder(sys.argv[1])
for line in sys.stdin:
    print(eval(line), flush=True)
"""


class Other:
    """Another primary: a process of its own, for locks are a process'."""

    def __init__(self, path: str) -> None:
        command = [sys.executable, "-c", OTHER, path]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, source: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"folder.{source}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def test_a_name_is_one_primarys(folder: StateFolder) -> None:
    """Until that gives it back, or ends; marks stay; the last one to leave removes the folder."""
    assert folder.take("leader")
    assert folder.take("leader")
    other = Other(folder.path)
    try:
        assert other("take('leader')") == "False"
        assert other("take('else')") == "True"
        folder.give_back("leader")
        assert other("take('leader')") == "True"
        assert not folder.take("leader")
        assert other("mark('once:a/b')") == "None"
        assert folder.is_marked("once:a/b")
        assert not folder.is_marked("once:")
        folder.leave()
        assert os.path.isdir(folder.path)
        folder.hold()
    finally:
        other.end()
    assert folder.take("leader")
    folder.leave()
    assert not os.path.exists(folder.path)


def test_what_a_killed_primary_has_left_is_removed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the next one; not what somebody holds, nor what is so new that its owner may not have locked it yet."""
    old, held, fresh, mine = (StateFolder(f"{home}/{state_folder._prefix()}{name}") for name in "abcd")
    old.make()
    fresh.make()
    other = Other(held.path)
    try:
        assert other("hold()") == "None"
        for one in (old, held):
            os.utime(one.path, (1, 1))
        mine.hold()
        assert sorted(os.listdir(home)) == sorted(os.path.basename(one.path) for one in (held, fresh, mine))
        os.utime(mine.path, (1, 1))
        mine.leave()
    finally:
        other.end()
