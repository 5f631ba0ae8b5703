"""Combine marker, command line, environment, fixtures and ini into the options of a test's cluster."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import OptionError
from ..waiting import scaled
from . import settings
from .apps import Located, locate
from .cluster_options import START_TIMEOUT, ClusterOptions
from .interpreters import gunicorn_folder, interpreter
from .markers import markers_of
from .served import name_object

if TYPE_CHECKING:
    import pytest

__all__ = ["Recipe", "item_options", "recipe_of"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

# Settings of the run that are options of each cluster.
_OF_CLUSTERS = ("app", "fork_app", "policy", "workers", "start_timeout")

# Variables that name the test that runs: they say nothing of the cluster.
OF_ONE_TEST = ("PYTEST_CURRENT_TEST", "COV_CORE_CONTEXT")


@dataclass(frozen=True, slots=True)
class Recipe:
    """The options of a cluster, and the folders that its application is imported from."""

    options: ClusterOptions
    pythonpath: str
    item: pytest.Item | None = field(default=None, compare=False, repr=False)
    """The test, which relative paths are looked for beside."""

    def changed(self, source: str, changes: Mapping[str, Any]) -> Recipe:
        """Return a recipe with *changes*, which *source* asks for; ``app`` may be an object."""
        app, found = changes.get("app"), dict(changes)
        pythonpath = self.pythonpath
        if app is not None and not isinstance(app, str):
            located = _located(app, forks=changes.get("fork_app", self.options.fork_app) is True)
            found["app"] = located.name
            pythonpath = ",".join(filter(None, dict.fromkeys([*pythonpath.split(","), located.folder])))
        options = self.options.changed(source, found)
        resolved = options if self.item is None else _resolved(options, self.item, found)
        return Recipe(resolved, pythonpath, self.item)

    @property
    def key(self) -> str:
        """All that two tests must have in common to use one cluster; the environment is that of this moment."""
        environment = {name: value for name, value in os.environ.items() if name not in OF_ONE_TEST}
        environment.update({name: value or "" for name, value in self.options.environment.items()})
        return repr((self.options.key, self.pythonpath, sorted(environment.items())))


def recipe_of(
    item: pytest.Item, fixtures: Mapping[str, Any], app: object, workers: int | None, *, forks: bool = False
) -> Recipe:
    """Return the recipe that *item* asks for; *fixtures* and *app* are its ``cluster_options`` and ``cluster_app``.

    :param forks: the server will be forked from this process, whatever the options say.
    :raises OptionError: something that cannot be.
    """
    if not isinstance(fixtures, Mapping):
        raise OptionError(
            "cluster_options: expected a mapping of the marker's keywords, as {'workers': 3}, got "
            f"{fixtures!r:.100}: the fixture must return it"
        )
    forks = forks or item_options(item, fixtures, workers).fork_app
    located = None if app is None else _located(app, forks=forks)
    with_app = dict(fixtures) if located is None else {"app": located.name, **fixtures}
    options = item_options(item, with_app, workers)
    folders = [str(item.config.rootpath), *map(str, item.config.getini("pythonpath"))]
    if located is not None and located.folder is not None:
        folders.append(located.folder)
    return Recipe(_resolved(options, item, options.keywords()), ",".join(dict.fromkeys(folders)), item)


def _located(app: object, *, forks: bool) -> Located:
    """Return where a server finds *app*; one that is forked from this process finds any callable."""
    if forks and callable(app):
        return Located(name_object(app))
    return locate(app)


def item_options(item: pytest.Item, fixtures: Mapping[str, Any], workers: int | None) -> ClusterOptions:
    """Return the options that *item* asks for: marker > command line > environment > fixtures > ini > our defaults."""
    found = {name: settings.value_of(item.config, name) for name in _OF_CLUSTERS}
    options = ClusterOptions(start_timeout=scaled(START_TIMEOUT))
    options = _with_settings(options, {name: one for name, one in found.items() if one.source == "ini"})
    options = options.changed("cluster_options", fixtures)
    options = _with_settings(
        options, {name: one for name, one in found.items() if one.source not in ("default", "ini")}
    )
    for marker in reversed(markers_of(item)):
        options = options.changed("@pytest.mark.cluster", marker.kwargs)
    return options if workers is None else options.changed("--cluster-workers", {"workers": workers})


def _with_settings(options: ClusterOptions, found: Mapping[str, settings.Value]) -> ClusterOptions:
    for name, one in found.items():
        value = one.value[0] if name == "workers" else one.value
        value = scaled(value) if name == "start_timeout" else value
        options = options.changed(one.source, {name: value})
    return options


def _cache_folder(item: pytest.Item, name: str) -> str:
    """Return a folder that has *name*, or may get it.

    pytest's cache, which stays for the next runs; where that cannot be written to, one for this run.
    """
    cache = getattr(item.config, "cache", None)
    with contextlib.suppress(OSError):  # a checkout that is read-only
        folder = "" if cache is None else str(cache.mkdir("cluster-gunicorn"))
        if folder and (os.path.isdir(os.path.join(folder, name)) or os.access(folder, os.W_OK)):
            return folder
    return str(item.session.config._tmp_path_factory.getbasetemp())  # type: ignore[attr-defined]


def _resolved(options: ClusterOptions, item: pytest.Item, names: Collection[str]) -> ClusterOptions:
    """Make paths absolute: a script beside its test or from the root, a working directory from the root.

    :param names: of the options that may be as the test has said them.
    """
    root = str(item.config.rootpath)
    changes: dict[str, Any] = {}
    if options.cwd is not None and "cwd" in names:
        changes["cwd"] = os.path.join(root, options.cwd)
        if not os.path.isdir(changes["cwd"]):
            raise OptionError(f"cluster: cwd {options.cwd!r} is no folder (looked for {changes['cwd']})")
    if options.python is not None and "python" in names:
        changes["python"] = interpreter(options.python)
    if options.gunicorn is not None and "gunicorn" in names:
        changes["gunicorn"] = gunicorn_folder(options.gunicorn, partial(_cache_folder, item)) or None
    if options.script is not None and "script" in names:
        folders = dict.fromkeys((str(item.path.parent), root))
        candidates = [os.path.join(folder, options.script) for folder in folders]
        found = next((path for path in candidates if os.path.isfile(path)), None)
        if found is None:
            raise OptionError(f"cluster: script {options.script!r} does not exist (looked for {', '.join(candidates)})")
        changes["script"] = found
    return options.changed("cluster", changes) if changes else options
