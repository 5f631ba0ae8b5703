"""What the kernel has killed for want of memory, by the counters of control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodecluster_compat.machine.out_of_memory import KernelKills


class Groups:
    """A control group whose counter a test sets."""

    def __init__(self, folder: Path, own: str, file: str) -> None:
        self.root, self.own = str(folder / "root"), str(folder / "own")
        Path(self.own).write_text(own)
        self._file = folder / "root" / file
        self._file.parent.mkdir(parents=True)
        self.count(3)

    def count(self, kills: int) -> None:
        self._file.write_text(f"low 0\noom {kills + 9}\noom_kill {kills}\noom_group_kill 0\n")

    def kills(self) -> KernelKills:
        return KernelKills(100.0, self.root, self.own)


PLACES = [
    pytest.param("0::/app\n", "app/memory.events", id="version-2"),
    pytest.param("0::/only/the/host/sees/this\n", "memory.events", id="version-2-in-a-container"),
    pytest.param("3:cpu:/x\n4:memory:/app\n0::/\n", "memory/app/memory.oom_control", id="version-1"),
]


@pytest.mark.parametrize(("own", "file"), PLACES)
def test_rise_is_told_once(tmp_path: Path, own: str, file: str) -> None:
    groups = Groups(tmp_path, own, file)
    kills = groups.kills()
    assert not kills.take(101.0)
    groups.count(5)
    assert [kills.take(102.0) for _ in range(3)] == [True, True, False]


def test_rise_of_long_ago_is_of_somebody_else(tmp_path: Path) -> None:
    groups = Groups(tmp_path, "0::/app\n", "app/memory.events")
    kills = groups.kills()
    groups.count(4)
    kills.note(101.0)
    assert not kills.take(107.0)


@pytest.mark.parametrize("said", ["", "nonsense", "oom_kill\n", "oom_kill many\n", "oom_kill 1\n"])
def test_counter_that_makes_no_sense_blames_nobody(tmp_path: Path, said: str) -> None:
    groups = Groups(tmp_path, "0::/app\n", "app/memory.events")
    kills = groups.kills()
    groups._file.write_text(said)
    assert not kills.take(101.0)


def test_without_a_counter_nobody_is_blamed(tmp_path: Path) -> None:
    kills = KernelKills(1.0, str(tmp_path), str(tmp_path / "no-such-file"))
    assert not kills.take(2.0)
