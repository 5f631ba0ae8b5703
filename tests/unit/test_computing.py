"""Who computes: real processes that do, that wait, and that are gone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from nodecluster_compat.computing import Computing
from pytest_cluster.waiting import poll

SPINS = "print(flush=True)\nwhile True: pass"
WAITS = "sum(range(3_000_000))\nprint(flush=True)\ninput()"
PATIENCE = 20.0


def worker(pid: int | None) -> Any:
    """As much of a handle as is looked at."""
    return SimpleNamespace(process=SimpleNamespace(pid=pid), cpu_at_rest=0.0)


@contextmanager
def running(program: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has begun what it does."""
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def test_who_uses_its_time_computes_at_every_look() -> None:
    """Also at the second one, soon after the first."""
    with running(SPINS) as process:
        computes = Computing({1: worker(process.pid)})
        assert poll(lambda: computes(1), PATIENCE)
        assert computes(1)


def test_who_waits_does_not_compute_however_much_it_has() -> None:
    """It is at rest from then on, until it has used more."""
    with running(WAITS) as process:
        one = worker(process.pid)
        computes = Computing({1: one})
        assert poll(lambda: not computes(1), PATIENCE)  # it may not have come to its wait yet
        assert one.cpu_at_rest > 0.001
        assert not computes(1)


@pytest.mark.parametrize("pid", [None, 2**22 + 1])
def test_who_is_not_there_does_not_compute(pid: int | None) -> None:
    """Without a process yet, gone, or unknown."""
    computes = Computing({1: worker(pid)})
    assert not computes(1)
    assert not computes(2)


def test_little_time_is_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose last request was small is late at most, not busy."""
    looks: list[int] = []
    monkeypatch.setattr("nodecluster_compat.computing._runs", lambda pid: bool(looks.append(pid)) or True)
    with running(WAITS) as process:
        one = worker(process.pid)
        computes = Computing({1: one})
        assert computes(1)
        assert looks == [process.pid]
        one.cpu_at_rest = 10.0
        assert not computes(1)
        assert looks == [process.pid]
