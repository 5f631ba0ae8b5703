"""What the primary's proxy says of its end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from pytest_cluster.processes.primary import PrimaryProxy


def test_whoever_is_told_of_the_end_finds_the_journal_complete() -> None:
    """Once: afterwards it cannot have more."""
    codes = iter([None, 3, 3])
    settled: list[int] = []
    server: Any = SimpleNamespace(
        process=SimpleNamespace(poll=lambda: next(codes)), settle=lambda: settled.append(1), control=None, pid=1
    )
    primary = PrimaryProxy(server)
    assert (primary.returncode, settled) == (None, [])
    assert (primary.returncode, settled) == (3, [1])
    assert (primary.returncode, settled) == (3, [1])
