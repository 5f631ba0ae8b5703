"""Write the ``gunicorn.conf.py`` of a cluster: settings as literal assignments, then the test's own source."""

from __future__ import annotations

import ast
import os
import sys
import textwrap

from ..errors import OptionError
from ..options.cluster_options import FORKED_THREADS, ClusterOptions

__all__ = ["DEFAULT_BIND", "conf_source"]

# Port 0: the kernel chooses, and the primary says in the journal what it chose.
DEFAULT_BIND = "127.0.0.1:0"


def conf_source(options: ClusterOptions, *, pythonpath: str, bind: str = DEFAULT_BIND) -> str:
    """Return the text of the file that starts what *options* ask for."""
    settings: dict[str, object] = {
        "bind": bind,
        "pythonpath": pythonpath,
        # From 25.1 on gunicorn opens a socket at one path per user, which a second cluster would take over.
        # Older versions ignore names that they do not know.
        "control_socket_disable": True,
        **({"threads": FORKED_THREADS} if options.fork_app else {}),
        **options.settings,
        "preload_app": options.preload,
        "worker_class": options.worker_class_in_force,
        "workers": options.workers,
    }
    lines = ["# Written by pytest_cluster for one cluster of one test.", *_command_to_run_again(options.python)]
    lines += [f"{name} = {_literal(name, value)}" for name, value in settings.items()]
    lines += _check(list(options.settings))
    if options.config.strip():
        lines += ["", "# The test's own source.", textwrap.dedent(options.config).strip()]
    return "\n".join(lines) + "\n"


def _command_to_run_again(python: str | None) -> list[str]:
    """On USR2 gunicorn runs ``sys.argv`` again; as ``-m`` leaves it, its folder's ``http`` would hide Python's."""
    script = os.path.join(os.path.dirname(python or sys.executable), "gunicorn")
    return ["import sys", f"sys.argv[0] = {script!r}"] if os.path.exists(script) else []


def _check(names: list[str]) -> list[str]:
    """Return the lines that refuse unknown names, which only the server's gunicorn can tell, and would ignore."""
    module = "nodecluster_compat._gunicorn.known_settings"
    return [f"from {module} import check_settings", f"check_settings({names!r})"] if names else []


def _literal(name: str, value: object) -> str:
    text = repr(value)
    try:
        same = ast.literal_eval(text) == value
    except (SyntaxError, ValueError):
        same = False
    if not same:
        raise OptionError(f"cluster: the setting {name!r} is not a literal ({text}); assign it in config=, in Python")
    return text
