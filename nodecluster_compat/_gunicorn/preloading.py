"""Import a program once for many processes: what ``python -m`` and its workers import, with nothing of it used.

For the plugin's fork server (``pytest_cluster/server/template.py``), whose children run the program.  What modules have
found out of their process while they were imported is found out again in each child.  What is found out of the machine
alone, such as who plugs into gevent, is found out here: it stays true, or is seen to have changed.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Final

from gunicorn.config import Chdir, Config, Workers
from gunicorn.util import getcwd

from ..base.variables import SCHED_POLICY
from ..machine.frozen import leave_frozen
from ..roles.cluster import cluster

__all__ = ["FOUND_OUT_AGAIN", "find_out_again", "find_out_early", "import_program"]

_WORKERS_VARIABLE: Final = "WEB_CONCURRENCY"

FOUND_OUT_AGAIN: Final = (SCHED_POLICY, _WORKERS_VARIABLE)
"""Variables that modules read while they are imported, and may be others in a child (:func:`find_out_again`)."""

_HERE: Final = "nodecluster_compat._gunicorn"
_PROGRAMS: Final = {
    "gunicorn": ("gunicorn.app.wsgiapp", "gunicorn.glogging", f"{_HERE}.known_settings", f"{_HERE}.worker.fed_worker"),
    "nodecluster_compat": ("argparse", f"{_HERE}.script.program"),
}
_KINDS: Final = {
    "": (),
    "gevent": (f"{_HERE}.worker.gevent_worker", f"{_HERE}.worker.gevent_imports"),
    "threads": (f"{_HERE}.worker.threads.worker",),
    "asgi": (f"{_HERE}.worker.asgi.worker",),
}
"""Modules by the kind of worker; the last has ``import_all``, which imports what workers of this kind need."""


def import_program(name: str, kind: str) -> None:
    """Import what a program needs.

    Args:
        name: ``gunicorn`` or ``nodecluster_compat``.
        kind: of its workers: ``gevent``, ``threads`` or ``asgi``; empty: what all of them have in common.
    """
    modules = [import_module(module) for module in (*_PROGRAMS[name], *_KINDS[kind])]
    if _KINDS[kind]:
        modules[-1].import_all()


def find_out_early(kind: str) -> None:
    """Find out what is the same in every process of this machine, whatever its environment."""
    Config().parser()  # Python remembers the patterns that it has compiled for that
    if kind == "gevent":
        from ..gevent_runtime import loaded_early, patching

        patching.find_plugins()
        loaded_early.take_for_known()


def find_out_again() -> None:
    """In a process of its own: find out its working directory, variables that modules have read, and what is frozen.

    Raises:
        ValueError: the number of workers is none, as when gunicorn is imported.
    """
    Chdir.default = getcwd()
    Workers.default = int(os.environ.get(_WORKERS_VARIABLE, "1"))
    cluster._read_environment()
    leave_frozen()
