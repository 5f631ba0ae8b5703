"""Build the command line and the environment of a server."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from ..options.cluster_options import WORKER_CLASS, ClusterOptions
from ..wire.records import TOKEN_VARIABLE

__all__ = ["command_of", "environment_of", "may_be_forked", "searched"]


def command_of(options: ClusterOptions, conf_path: str) -> list[str]:
    """Return the command line; gunicorn reads its settings at *conf_path*, a script has none of it."""
    if options.script is not None:
        return [sys.executable, "-m", "nodecluster_compat", options.script]
    return [sys.executable, "-m", "gunicorn", "-c", conf_path, options.app or ""]


def may_be_forked(options: ClusterOptions) -> bool:
    """Whether a server is none of those that depend on how it starts: not under test, of another class, or patched."""
    is_under_test = TOKEN_VARIABLE not in options.env
    is_default = options.worker_class == WORKER_CLASS  # another may forbid what the template imports for this one
    return (
        options.fork_server and not options.fork_app and is_under_test and is_default and "monkey" not in options.config
    )


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
    if options.script is not None:  # an application's is in its gunicorn.conf.py
        environment["PYTHONPATH"] = _import_path(pythonpath, environment.get("PYTHONPATH"))
    return environment


def _import_path(folders: str, rest: str | None) -> str:
    """Return the PYTHONPATH with *folders*, which gunicorn takes with commas, before the *rest*."""
    return os.pathsep.join([*folders.split(","), *([rest] if rest else [])])
