"""gunicorn's configuration where the arbiter stands still.

In the step that BENCH_STEP names, while the file BENCH_HELD is there.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

exec(
    (Path(__file__).parent / "conf.py").read_text()
)  # its handlers are this file's, so that HUP forgets and renews them
note_fork = pre_fork  # type: ignore[name-defined]  # noqa: F821


def hold(*steps: str) -> None:
    held = os.environ["BENCH_HELD"]
    if os.environ["BENCH_STEP"] in steps and os.path.exists(held):
        Path(f"{held}.entered").touch()
        while os.path.exists(held):
            time.sleep(0.005)


hold("configuration")


def pre_fork(server: object, worker: object) -> None:
    note_fork(server, worker)
    hold("fork")


def on_reload(server: object) -> None:
    hold("reload")


def nworkers_changed(server: object, new: int, old: int | None) -> None:
    hold("scale")


def child_exit(server: object, worker: object) -> None:
    hold("reap")
