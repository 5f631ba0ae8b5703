"""The command of tests/fuzz."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_command_runs_and_says_what_it_did() -> None:
    """As the README in tests/fuzz has it."""
    folder = Path(__file__).parents[1] / "fuzz"
    command = [sys.executable, str(folder / "run.py"), "--inputs", "500", "--target", "codec", "--target", "packets"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    assert [line.split()[:3] for line in done.stdout.splitlines()] == [
        ["codec", "500", "inputs"],
        ["packets", "500", "inputs"],
    ]
