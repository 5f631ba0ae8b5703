"""Programs of a few lines that show the behaviours which Node's own tests fix."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

from programs import run_program
from traces import Trace, traced

PRELUDE = Path(__file__).parents[1] / "oracle" / "scenarios"
HEAD = "from prelude import *\nfrom nodecluster_compat import dgram, http, net\nimport os, socket, sys, signal\n"

Play = Callable[..., Trace]


def player(folder: Path) -> Play:
    """Return a function that runs a program under ``nodecluster``.

    It returns the lines by observer ("P": the primary, "W1": a worker, "P1": what the primary sees of it).  The exit
    code is asserted, and so is that nothing complained.
    """

    def run(source: str, *args: str, code: int = 0, quiet: bool = True, **env: str) -> Trace:
        program = folder / "program.py"
        program.write_text(HEAD + textwrap.dedent(source))
        done = run_program(
            [sys.executable, "-m", "nodecluster_compat", str(program), *args],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(PRELUDE), **env},
        )
        assert done.returncode == code, done.stderr + done.stdout
        if quiet:
            assert done.stderr == ""
        return traced(done.stdout)

    return run
