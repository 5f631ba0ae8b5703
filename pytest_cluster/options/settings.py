"""Read the plugin's settings: command line > environment > ini > default.

One table: each setting has one name, from which its option (``--cluster-workers``), its variable
(``PYTEST_CLUSTER_WORKERS``) and its ini value (``cluster_workers``) follow.  What is in force, and where it comes
from, is in the header of the report.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from .checks import cores, too_many_workers

if TYPE_CHECKING:
    import pytest

__all__ = [
    "EXPECTED_POLICY",
    "POLICIES",
    "SETTINGS",
    "START_TIMEOUT",
    "Setting",
    "Value",
    "add_options",
    "check_variables",
    "header",
    "is_policy",
    "path_of",
    "repeats",
    "value_of",
]

POLICIES = ("rr", "none")
"""Who deals connections."""

DEALING = "round_robin|least_connections|random_of_two|client_address(:[0-9]+,[0-9]+)?|weighted:[0-9]+(,[0-9]+)*"
"""How the primary deals them, as a regular expression."""

EXPECTED_POLICY = (
    "'rr' or 'none', or one of the primary's: 'round_robin', 'least_connections', 'random_of_two', 'client_address', "
    "'weighted:3,1'"
)
START_TIMEOUT = 30.0
VARIABLES = "PYTEST_CLUSTER_"
TAG = f"{VARIABLES}TAG"
"""The processes of a cluster have it: pytest may be one of them."""


class Setting(NamedTuple):
    """One setting of the command line, the environment and the ini file."""

    name: str
    read: Callable[[str], Any]
    """Makes the value of a text; ``ValueError`` says what was expected."""
    default: Any
    help: str
    metavar: str | None = None
    """``None``: an option without a value."""

    @property
    def option(self) -> str:
        """The name on the command line."""
        return f"--cluster-{self.name.replace('_', '-')}"

    @property
    def ini(self) -> str:
        """The name in an ini file, and in pytest's own options."""
        return f"cluster_{self.name}"

    @property
    def variable(self) -> str:
        """The name in the environment."""
        return f"{VARIABLES}{self.name.upper()}"


class Value(NamedTuple):
    """A setting's value, and where it comes from."""

    value: Any
    source: str


def _workers(text: str) -> tuple[int, ...]:
    if text.strip() == "auto":
        return (max(2, cores()),)
    try:
        counts = tuple(dict.fromkeys(int(part) for part in text.split(",")))  # each once
    except ValueError:
        counts = (0,)
    if min(counts) < 1:
        raise ValueError(f"expected a number of workers, 1 or more, not {text!r} (or several, N,M,…; or auto)")
    if too_many := too_many_workers(max(counts)):
        raise ValueError(too_many)
    return counts


def is_policy(value: object) -> bool:
    """Whether this names who deals connections, or how."""
    return isinstance(value, str) and (value in POLICIES or re.fullmatch(DEALING, value) is not None)


def _policy(text: str) -> str:
    if not is_policy(text):
        raise ValueError(f"expected {EXPECTED_POLICY}, not {text!r}")
    return text


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ValueError(f"expected a number above 0, not {text!r}")
    return number


def _flag(text: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if text.strip().lower() not in words:
        raise ValueError(f"expected true or false, not {text!r}")
    return words[text.strip().lower()]


def _path(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError(f"expected a path, not {text!r}")
    return text


def _server_url(text: str) -> object:
    from .server_url import parse_server_url  # a run that names none does not pay for it

    return parse_server_url(text)


def _service_url(name: str, text: str) -> str:
    from .service_urls import parse_service_url

    parse_service_url(name, text)
    return text


def _chaos(text: str) -> object:
    from .chaos_spec import parse_spec

    return parse_spec(text)


SETTINGS = (
    Setting(
        "workers", _workers, (2,), "workers of a cluster; several numbers run each cluster test with each", "N|N,M|auto"
    ),
    Setting("app", str, None, "application, as on gunicorn's command line", "MODULE:NAME"),
    Setting(
        "policy",
        _policy,
        None,
        "who deals connections: the primary (rr) or the kernel (none); or how the primary does: least_connections, …",
        "|".join(POLICIES) + "|NAME",
    ),
    Setting("start_timeout", _positive, START_TIMEOUT, "seconds until all workers must listen", "SECONDS"),
    Setting("slow_factor", _positive, 1.0, "stretch every default time-out, for a slow machine", "X"),
    Setting("compare", _flag, False, "run each cluster test with 1 and with N workers, and say what fails with N only"),
    Setting("fork_server", _flag, False, "import gunicorn once and fork servers from there, which is faster"),
    Setting("fork_app", _flag, False, "fork servers from this process, with the application as the object it is here"),
    Setting("url", _server_url, None, "ask this server, which somebody else runs, and start none", "URL"),
    Setting(
        "redis_url",
        partial(_service_url, "redis"),
        None,
        "the Redis of cluster_redis_noproc, which somebody else runs",
        "URL",
    ),
    Setting(
        "postgresql_url",
        partial(_service_url, "postgresql"),
        None,
        "the PostgreSQL of cluster_postgresql_noproc, which somebody else runs",
        "URL",
    ),
    Setting("chaos", _chaos, None, "the plan of cluster_chaos, as a report names it", "SEED[:STEPS]"),
    Setting("html", _path, None, "write one page about all failures of cluster tests, that needs no server", "FILE"),
    Setting("artifacts", _path, None, "write the artefacts of failed cluster tests there, not into the cache", "DIR"),
    Setting("keep", _flag, False, "leave the cluster of a failed test running, and say how to reach it"),
)
"""All settings there are."""

_BY_NAME = {setting.name: setting for setting in SETTINGS}


def add_options(parser: pytest.Parser) -> None:
    """Register every setting with pytest."""
    group = parser.getgroup("cluster", "tests on a real cluster")
    for setting in SETTINGS:
        text = f"{setting.help} (ini: {setting.ini}; environment: {setting.variable})"
        if setting.metavar is None:
            group.addoption(setting.option, dest=setting.ini, action="store_const", const="true", help=text)
        else:
            group.addoption(setting.option, dest=setting.ini, metavar=setting.metavar, help=text)
        parser.addini(setting.ini, setting.help, default=None)


def value_of(config: pytest.Config, name: str) -> Value:
    """Return the value in force, and its source.

    :raises pytest.UsageError: the text cannot be read; the sentence says where it stands.
    """
    setting = _BY_NAME[name]
    for text, source in _texts(config, setting):
        if text is not None and text != "":
            return Value(_read(setting, text, source), source)
    return Value(setting.default, "default")


def check_variables() -> None:
    """Refuse a variable of the environment that looks like one of a setting, and is none.

    :raises pytest.UsageError: the sentence has the right ones.
    """
    valid = [setting.variable for setting in SETTINGS]
    wrong = sorted(name for name in os.environ if name.startswith(VARIABLES) and name not in (TAG, *valid))
    if wrong:
        import pytest

        raise pytest.UsageError(f"{', '.join(wrong)}: expected variables of settings, which are {', '.join(valid)}")


def repeats(config: pytest.Config) -> bool:
    """Whether this run has several numbers of workers for each test that does not say its own."""
    return bool(value_of(config, "compare").value) or len(value_of(config, "workers").value) > 1


def path_of(config: pytest.Config, name: str) -> str | None:
    """Return a setting's path: from where pytest was called, or in an ini file from the root; ``None``: not set.

    :raises pytest.UsageError: it is none.
    """
    found = value_of(config, name)
    if found.value is None:
        return None
    base = config.rootpath if found.source == "ini" else config.invocation_params.dir
    return os.path.normpath(os.path.join(base, os.path.expanduser(found.value)))


def header(config: pytest.Config) -> str:
    """Return the line of the report's header, with what is not the default."""
    values = [(setting, value_of(config, setting.name)) for setting in SETTINGS]
    parts = [
        f"{setting.name.replace('_', '-')} {_shown(value.value)} ({value.source})"
        for setting, value in values
        if setting.name == "workers" or value.source != "default"
    ]
    return f"cluster: {', '.join(parts)}{_crowd(config, values[0][1].value)}"


def _crowd(config: pytest.Config, workers: tuple[int, ...]) -> str:
    """Say that the processes of xdist, with so many workers each, are more than the machine has cores for."""
    tested = len(getattr(config.option, "tx", None) or ())
    if tested * max(workers) <= cores() or not tested:
        return ""
    return f"; {tested} processes of xdist with {max(workers)} workers each, on {cores()} cores"


def _texts(config: pytest.Config, setting: Setting) -> list[tuple[str | None, str]]:
    return [
        (config.getoption(setting.ini), "command line"),
        (os.environ.get(setting.variable), setting.variable),
        (config.getini(setting.ini), "ini"),
    ]


def _read(setting: Setting, text: str, source: str) -> object:
    try:
        return setting.read(str(text))
    except ValueError as error:
        import pytest

        names = {"command line": setting.option, "ini": setting.ini}
        raise pytest.UsageError(f"{names.get(source, source)}: {error}") from None


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return {True: "on", False: "off"}.get(value, str(value)) if isinstance(value, bool) else str(value)
