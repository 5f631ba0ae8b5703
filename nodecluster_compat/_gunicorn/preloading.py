"""Import a program once for many processes: what ``python -m`` and its workers import, with nothing of it used.

For the plugin's fork server (``pytest_cluster/server/template.py``), whose children run the program.  gunicorn notes
the working directory when it is imported, as the default of ``chdir``: that is noted again.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

from gunicorn.config import Chdir
from gunicorn.util import getcwd

from .worker.gevent_imports import import_all

__all__ = ["import_program", "note_folder"]

_PROGRAMS: Final = {
    "gunicorn": (
        "gunicorn.app.wsgiapp",
        "gunicorn.glogging",
        "nodecluster_compat._gunicorn.known_settings",
        "nodecluster_compat._gunicorn.worker.gevent_worker",
    ),
    "nodecluster_compat": ("argparse", "nodecluster_compat._gunicorn.script.arbiter"),
}


def import_program(name: str) -> None:
    """Import what a program needs, ``gunicorn`` or ``nodecluster_compat``."""
    for module in _PROGRAMS[name]:
        import_module(module)
    import_all()


def note_folder() -> None:
    """In a process that has another working directory: it is the one that gunicorn begins in."""
    Chdir.default = getcwd()
