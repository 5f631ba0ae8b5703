"""The command of tests/fuzz."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import kept_dealers
import kept_worker
import pytest
from fuzz_targets import Target
from hypothesis import strategies as st


@pytest.fixture(autouse=True)
def _nothing_is_kept() -> Iterator[None]:
    yield
    kept_dealers.close()
    kept_worker.close()


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    """Bytes, and pieces of what the target understands."""
    pieces = st.one_of(st.binary(max_size=12), st.sampled_from([*target.seeds, *target.words]))
    return st.lists(pieces, max_size=8).map(b"".join)


def test_command_runs_and_says_what_it_did() -> None:
    """As the README in tests/fuzz has it."""
    folder = Path(__file__).parents[1] / "fuzz"
    command = [sys.executable, str(folder / "run.py"), "--inputs", "500", "--target", "codec", "--target", "packets"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    assert [line.split()[:3] for line in done.stdout.splitlines()] == [
        ["codec", "500", "inputs"],
        ["packets", "500", "inputs"],
    ]
