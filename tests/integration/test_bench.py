"""bench/speed.py runs: a quick look at one side, in this interpreter's environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SPEED = Path(__file__).resolve().parents[2] / "bench" / "speed.py"


@pytest.mark.slow
def test_it_measures_and_prints_a_table() -> None:
    command = [sys.executable, str(SPEED), "--here", "--quick", "--sides", "ours", "--only", "fork"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| SIGKILL of the only worker")]
    assert len(rows) == 2
