"""What a test asks for: keywords of the marker and of the factory, command line, frozen and checked."""

from __future__ import annotations

import argparse
import dataclasses
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import OptionError

__all__ = ["ClusterOptions", "signal_number", "worker_count"]

WORKER_CLASS = "nodecluster_compat.Worker"

# gunicorn's own worker classes by their short names; they write no journal.
STOCK_WORKER_CLASSES = frozenset(
    {"asgi", "eventlet", "gevent", "gevent_pywsgi", "gevent_wsgi", "gthread", "sync", "tornado"}
)

# Keywords of their own, or what the plugin must know from them.
RESERVED_SETTINGS = {
    "daemon": "the plugin could not stop a server that leaves its session",
    "preload_app": "use preload=True",
    "worker_class": "use worker_class=",
    "workers": "use workers=",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """One cluster to start.  The names of the fields are the keywords of marker and factory."""

    app: str | None = None
    """The application, as on gunicorn's command line: ``package.module:name``."""
    workers: int = 2
    settings: Mapping[str, Any] = field(default_factory=dict)
    """gunicorn settings by name.  Literals only; what is not one belongs in *config*."""
    config: str = ""
    """Python source for the end of ``gunicorn.conf.py``: hooks, ``cluster.on(...)`` handlers."""
    env: Mapping[str, str | None] = field(default_factory=dict)
    """Changes to the environment; ``None`` removes a variable."""
    preload: bool = False
    start_timeout: float = 30.0
    worker_class: str = WORKER_CLASS
    """A stock class such as ``"gevent"`` is accepted for comparisons only.

    There is no journal then: *ready* means that one worker has answered a request, and a server that is told to
    end while another still boots may take its whole ``graceful_timeout``.
    """
    cwd: str | None = None
    """Working directory of the server; a short temporary one by default."""

    def __post_init__(self) -> None:
        for name, (fits, wanted) in _CHECKS.items():
            value = getattr(self, name)
            if not fits(value):
                raise OptionError(f"cluster: {name} must be {wanted}, not {value!r}")
        for name in self.settings:
            if name in RESERVED_SETTINGS:
                raise OptionError(f"cluster: settings cannot have {name!r}: {RESERVED_SETTINGS[name]}")

    @classmethod
    def keywords(cls) -> tuple[str, ...]:
        """The names that marker and factory accept."""
        return tuple(each.name for each in dataclasses.fields(cls))

    def changed(self, source: str, changes: Mapping[str, Any]) -> ClusterOptions:
        """These options with *changes*, which *source* asks for; mappings are merged, the rest is replaced.

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
        try:
            return dataclasses.replace(self, **merged)
        except OptionError as error:
            raise OptionError(f"{source}: {error}") from None

    @property
    def has_journal(self) -> bool:
        """Whether the server will tell of its workers; false for gunicorn's own worker classes."""
        name = self.worker_class
        return name not in STOCK_WORKER_CLASSES and not name.startswith("gunicorn.")

    @property
    def listeners(self) -> int:
        """How many sockets *settings* bind; each worker reports ``listening`` once for each."""
        bind = self.settings.get("bind", "")
        return 1 if isinstance(bind, str) else max(1, len(bind))

    @property
    def stop_timeout(self) -> float:
        """How long the server may take to end when asked: its own grace, and some."""
        grace = self.settings.get("graceful_timeout", 30)
        return (grace if isinstance(grace, int | float) else 30) + 10.0


def worker_count(text: str) -> int:
    """Read the value of ``--cluster-workers``."""
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"expected a number of workers, 1 or more, not {text!r}")
    return count


def signal_number(which: int | str) -> signal.Signals:
    """Accept what people write for a signal: ``9``, ``signal.SIGKILL``, ``"SIGKILL"``, ``"KILL"``."""
    if isinstance(which, int):
        return signal.Signals(which)
    try:
        return signal.Signals[which if which.startswith("SIG") else f"SIG{which}"]
    except KeyError:
        raise OptionError(f"unknown signal {which!r}") from None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_settings(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) and key.isidentifier() for key in value)


def _is_environment(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(key, str) and (item is None or isinstance(item, str)) for key, item in value.items()
    )


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


_CHECKS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "app": (_is_text_or_none, "an import string such as 'package.module:app'"),
    "workers": (_is_count, "a whole number, 1 or more"),
    "settings": (_is_settings, "a mapping from gunicorn's names to literals"),
    "config": (_is_text, "Python source as a string"),
    "env": (_is_environment, "a mapping from names to strings (or None, to remove)"),
    "preload": (_is_flag, "True or False"),
    "start_timeout": (_is_seconds, "a number of seconds above 0"),
    "worker_class": (_is_text, "the name of a gunicorn worker class"),
    "cwd": (_is_text_or_none, "the path of a folder, as a string"),
}
