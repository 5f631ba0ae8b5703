"""Check the options of a cluster, and freeze them: the keywords of the marker and of the factory."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import OptionError
from ..waiting import scaled
from .checks import is_count, is_seconds, too_many_workers
from .served import describe
from .settings import EXPECTED_POLICY, POLICIES, START_TIMEOUT, is_policy

__all__ = ["START_TIMEOUT", "ClusterOptions"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

WORKER_CLASS = "nodecluster_compat.Worker"
FORKED_WORKER_CLASS = "nodecluster_compat.ThreadWorker"
FORKED_THREADS = 8

# gunicorn's own worker classes by their short names; they write no journal.
STOCK_WORKER_CLASSES = frozenset(
    {"asgi", "eventlet", "gevent", "gevent_pywsgi", "gevent_wsgi", "gthread", "sync", "tornado"}
)

# Settings that the plugin decides itself, from keywords of its own.
RESERVED_SETTINGS = {
    "daemon": "the plugin could not stop a server that leaves its session",
    "preload_app": "use preload=True",
    "worker_class": "use worker_class=",
    "workers": "use workers=",
}

FILE_NAME = re.compile(r"(file|python):[^\s=]+|[^=#()\n]+\.(py|conf)")
"""What gunicorn takes as ``--config``."""

POLICY_VARIABLE = "NODE_CLUSTER_SCHED_POLICY"
DEALING_VARIABLE = "NODECLUSTER_POLICY"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """The options of one cluster.  The names of the fields are the keywords of marker and factory."""

    workers: int = 2
    app: str | None = None
    """The application, as on gunicorn's command line: ``package.module:name``."""
    script: str | None = None
    """A script instead of an application, as after ``nodecluster``; *workers* are waited for, the script forks them."""
    policy: str | None = None
    """``"rr"``: the primary deals connections; ``"none"``: the kernel does.  Or how the primary deals them:
    ``"least_connections"`` and the like, as ``cluster.setup_primary(policy=...)``, which is stronger.
    """
    settings: Mapping[str, Any] = field(default_factory=dict)
    """gunicorn settings by name.  Literals only; what is not one belongs in *config*."""
    config: str = ""
    """Python source for the end of ``gunicorn.conf.py``: hooks, ``cluster.on(...)`` handlers."""
    env: Mapping[str, str | None] = field(default_factory=dict)
    """Changes to the environment; ``None`` removes a variable."""
    preload: bool = False
    fresh: bool = False
    """A cluster of this test's own; otherwise one that an earlier test has left as it was may be used again."""
    start_timeout: float = START_TIMEOUT
    worker_class: str = WORKER_CLASS
    """A stock class such as ``"gevent"`` is accepted for comparisons only.

    There is no journal then: *ready* means that one worker has answered a request, and a server that is told to
    end while another still boots may take its whole ``graceful_timeout``.
    """
    cwd: str | None = "."
    """Working directory of the server, from pytest's root; ``None``: a short temporary one."""
    fork_app: bool = False
    """Whether the server is forked from pytest's own process, with the application as the object that it is there."""
    python: str | None = None
    """The interpreter of the server: a path, or a version as ``"3.12"``; by default this one."""
    gunicorn: str | None = None
    """The version of gunicorn that serves; by default the one that is installed."""
    fork_server: bool = True
    """Whether it may be forked from a template, where the run does that; ``False``: started by its command always."""

    def __post_init__(self) -> None:
        for name, (fits, wanted) in _CHECKS.items():
            value = getattr(self, name)
            if not fits(value):
                raise OptionError(f"cluster: {name} must be {wanted}, not {value!r}")
        for name in self.settings:
            if name in RESERVED_SETTINGS:
                raise OptionError(f"cluster: settings cannot have {name!r}: {RESERVED_SETTINGS[name]}")
        if not _is_bind(self.settings.get("bind", "127.0.0.1:0")):
            raise OptionError(
                "cluster: settings: bind must be an address, as '127.0.0.1:0' or 'unix:…', or a list of them, not "
                f"{self.settings['bind']!r}"
            )
        if too_many := too_many_workers(self.workers):
            raise OptionError(f"cluster: {too_many}")
        self._check_program()

    def _check_program(self) -> None:
        if self.script is not None and self.app is not None:
            raise OptionError(
                f"cluster: app={self.app!r} and script={self.script!r} are two programs, a cluster runs one: give one "
                "of them"
            )
        if self.fork_app and (self.script is not None or self.worker_class not in (WORKER_CLASS, FORKED_WORKER_CLASS)):
            what = f"script={self.script!r}" if self.script is not None else f"worker_class={self.worker_class!r}"
            raise OptionError(
                f"cluster: fork_app=True serves an application on threads ({FORKED_WORKER_CLASS}), since pytest's "
                f"process cannot be patched any more: it cannot be had with {what}"
            )
        if self.fork_app and (self.python is not None or self.gunicorn is not None):
            raise OptionError(
                "cluster: fork_app=True forks the server from pytest's process, which has its own Python and gunicorn"
            )
        if self.script is not None and (self.settings or self.config or self.preload):
            raise OptionError(
                "cluster: a script has no gunicorn.conf.py: give it env={'GUNICORN_CMD_ARGS': …} instead of settings, "
                "config and preload"
            )

    @classmethod
    def keywords(cls) -> tuple[str, ...]:
        """The names that marker and factory accept."""
        return tuple(each.name for each in dataclasses.fields(cls))

    def changed(self, source: str, changes: Mapping[str, Any]) -> ClusterOptions:
        """Return these options with *changes*, which *source* asks for; mappings are merged, the rest is replaced.

        :raises OptionError: an unknown name, or a value that cannot be.
        """
        unknown = sorted(set(changes) - set(self.keywords()))
        if unknown:
            raise OptionError(
                f"{source}: unknown keyword {', '.join(map(repr, unknown))}; valid are {', '.join(self.keywords())}"
            )
        merged = dict(changes)
        for name in ("settings", "env"):
            if isinstance(changes.get(name), Mapping):
                merged[name] = {**getattr(self, name), **changes[name]}
        if changes.get("script") is not None:  # what has no meaning there, and was said for applications
            merged = {"settings": {}, "config": "", "preload": False, "app": None, **merged}
        elif changes.get("app") is not None:
            merged = {"script": None, **merged}
        try:
            return dataclasses.replace(self, **merged)
        except OptionError as error:
            raise OptionError(f"{source}: {str(error).removeprefix('cluster: ')}") from None

    @property
    def key(self) -> str:
        """All of them as a text to compare."""
        return repr({each.name: _ordered(getattr(self, each.name)) for each in dataclasses.fields(self)})

    @property
    def has_journal(self) -> bool:
        """Whether the server will tell of its workers; false for gunicorn's own worker classes."""
        name = self.worker_class
        return name not in STOCK_WORKER_CLASSES and not name.startswith("gunicorn.")

    @property
    def worker_class_in_force(self) -> str:
        """The class that is started."""
        return FORKED_WORKER_CLASS if self.fork_app else self.worker_class

    @property
    def is_fresh(self) -> bool:
        """Whether it is one test's own; one that is forked from pytest is what pytest was at that moment."""
        return self.fresh or self.fork_app

    @property
    def environment(self) -> dict[str, str | None]:
        """Changes to the environment: *env*, and what follows from the other options."""
        changes: dict[str, str | None] = {}
        if self.policy is not None:
            changes[POLICY_VARIABLE] = self.policy if self.policy in POLICIES else "rr"
            changes[DEALING_VARIABLE] = None if self.policy in POLICIES else self.policy
        if self.script is not None:
            changes["WEB_CONCURRENCY"] = str(self.workers)
        return {**changes, **self.env}

    @property
    def policy_in_force(self) -> str:
        """Who deals connections: ``rr`` or ``none``."""
        if not self.has_journal or self.settings.get("reuse_port"):
            return "none"
        return self.environment.get(POLICY_VARIABLE, os.environ.get(POLICY_VARIABLE)) or "rr"

    @property
    def listeners(self) -> int:
        """How many sockets *settings* bind; each worker reports ``listening`` once for each."""
        bind = self.settings.get("bind", "")
        return 1 if isinstance(bind, str) else max(1, len(bind))

    @property
    def socket_files(self) -> list[str]:
        """The unix sockets that *settings* bind: files, which a server that is killed leaves; no abstract ones."""
        bind = self.settings.get("bind", "")
        names = [bind] if isinstance(bind, str) else list(bind)
        paths = [name.removeprefix("unix:") for name in names if str(name).startswith("unix:")]
        return [path for path in paths if path and path[0] not in "\0@"]

    @property
    def stop_timeout(self) -> float:
        """How long the server may take to end when asked: its own grace, and some."""
        grace = self.settings.get("graceful_timeout", 30)
        return (grace if isinstance(grace, int | float) else 30) + scaled(10.0)

    @property
    def worker_timeout(self) -> float:
        """Seconds after which gunicorn ends a worker that gives no sign of life; 0: never."""
        timeout = self.settings.get("timeout", 30)
        return float(timeout) if isinstance(timeout, int | float) and self.script is None else 0.0

    @property
    def target(self) -> str:
        """What it serves."""
        return self.script or (describe(self.app) if self.app else "(nothing)")


def _ordered(value: object) -> object:
    return sorted(value.items()) if isinstance(value, Mapping) else value


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_source(value: object) -> bool:
    """Whether it is text that is no file's name, which gunicorn's own ``--config`` takes."""
    return isinstance(value, str) and not FILE_NAME.fullmatch(value.strip())


def _is_settings(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) and key.isidentifier() for key in value)


def _is_bind(value: object) -> bool:
    """Whether a server listens somewhere; with none that gunicorn takes, nobody would ever say so."""
    addresses = [value] if isinstance(value, str) else value
    return isinstance(addresses, list | tuple) and bool(addresses) and all(_is_text(one) and one for one in addresses)


def _is_environment(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        _is_variable(key) and (item is None or (isinstance(item, str) and "\0" not in item))
        for key, item in value.items()
    )


def _is_variable(name: object) -> bool:
    return isinstance(name, str) and bool(name) and not {"=", "\0"} & set(name)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_policy(value: object) -> bool:
    return value is None or is_policy(value)


_CHECKS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "workers": (is_count, "a whole number, 1 or more"),
    "app": (_is_text_or_none, "an import string such as 'package.module:app'"),
    "script": (_is_text_or_none, "the path of a Python file, as a string"),
    "policy": (_is_policy, EXPECTED_POLICY),
    "settings": (_is_settings, "a mapping from gunicorn's names to literals"),
    "config": (
        _is_source,
        "Python source as a string (of a file: Path(…).read_text(), without bind, workers and worker_class)",
    ),
    "env": (_is_environment, "a mapping from names to strings (or None, to remove)"),
    "preload": (_is_flag, "True or False"),
    "fresh": (_is_flag, "True or False"),
    "start_timeout": (is_seconds, "a number of seconds above 0"),
    "worker_class": (_is_text, "the name of a gunicorn worker class"),
    "cwd": (_is_text_or_none, "the path of a folder, as a string"),
    "fork_app": (_is_flag, "True or False"),
    "python": (_is_text_or_none, "the path or the version of an interpreter, as a string"),
    "gunicorn": (_is_text_or_none, "a version of gunicorn, as a string: '27.0.1'"),
    "fork_server": (_is_flag, "True or False"),
}
