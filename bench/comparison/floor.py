"""The floor: the same handoff in C, with an acknowledgement; see `peers/floor.c`."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

from sessions import BenchError, free_port

from comparison.contestants import HttpServer, Setup, UnheardServer
from comparison.tools import PEERS, cache_home


def floor_server(workers: int) -> HttpServer:
    """A server that is not started yet; raises without a C compiler."""
    program = compiled()
    if program is None:
        raise BenchError("the floor needs a C compiler")
    port = free_port()
    return UnheardServer([str(program), str(port), str(workers)], {}, Setup(workers=workers), port)


@functools.cache
def compiled() -> Path | None:
    """The program, compiled into the cache; None without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    cache_home().mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=cache_home()))
    program = cache_home() / "floor"
    try:
        subprocess.run([compiler, "-O2", "-o", str(folder / "floor"), str(PEERS / "floor.c")], check=True)
        (folder / "floor").replace(program)
    finally:
        shutil.rmtree(folder)
    return program
