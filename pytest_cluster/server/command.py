"""Build the command line and the environment of a server."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from ..options.cluster_options import FORKED_WORKER_CLASS, WORKER_CLASS, ClusterOptions
from ..wire.records import TOKEN_VARIABLE
from .forkable import Imports

__all__ = ["command_of", "environment_of", "imports_of", "searched"]

_AGENT = "pytest_cluster.inside"
_KINDS = {
    WORKER_CLASS: "gevent",
    "nodecluster_compat.WebSocketWorker": "gevent",
    FORKED_WORKER_CLASS: "threads",
    "nodecluster_compat.ASGIWorker": "asgi",
}
"""What a class imports, by the names that ``_gunicorn/preloading.py`` has for it; of any other, nobody knows more than
that it belongs to a cluster."""


def command_of(options: ClusterOptions, conf_path: str) -> list[str]:
    """Return the command line; gunicorn reads its settings at *conf_path*, a script has none of it."""
    python = options.python or sys.executable
    if options.script is not None:
        return [python, "-m", "nodecluster_compat", options.script]
    return [python, "-m", "gunicorn", "-c", conf_path, options.app or ""]


def imports_of(options: ClusterOptions) -> Imports | None:
    """Return what a server may find imported; ``None``: it depends on how it starts, as a stock or a patched one."""
    is_another = options.python is not None or options.gunicorn is not None
    if (
        not options.fork_server
        or options.fork_app
        or not options.has_journal
        or "monkey" in options.config
        or is_another
    ):
        return None
    if options.script is not None:
        return Imports()
    return Imports(_KINDS.get(options.worker_class, ""), "" if TOKEN_VARIABLE in options.env else _AGENT)


def searched(options: ClusterOptions, pythonpath: str) -> list[str]:
    """Return the folders that a server's settings put in front of ``sys.path``."""
    named = [pythonpath, str(options.settings.get("pythonpath") or ""), str(options.settings.get("chdir") or "")]
    return [folder for part in named for folder in part.split(",") if folder]


def environment_of(options: ClusterOptions, own: Mapping[str, str], pythonpath: str) -> dict[str, str]:
    """Return this process' environment with the plugin's *own* variables, and then what the test asks for.

    In that order, so that a test can take even the token away: the server is then what it is in production.
    """
    environment = {**os.environ, **own}
    for name, value in options.environment.items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value
    if options.gunicorn:  # the folder that has it
        environment["PYTHONPATH"] = _import_path(options.gunicorn, environment.get("PYTHONPATH"))
    if options.script is not None:  # an application's is in its gunicorn.conf.py
        environment["PYTHONPATH"] = _import_path(pythonpath, environment.get("PYTHONPATH"))
    return environment


def _import_path(folders: str, rest: str | None) -> str:
    """Return the PYTHONPATH with *folders*, which gunicorn takes with commas, before the *rest*."""
    return os.pathsep.join([*folders.split(","), *([rest] if rest else [])])
