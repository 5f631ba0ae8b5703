"""Give an application that is only an object a name, by which a server that is forked from this process finds it."""

from __future__ import annotations

import sys
from types import ModuleType

__all__ = ["MODULE", "describe", "name_object"]

MODULE = "pytest_cluster_served"
"""A module of this process and its forks, which no file has."""


def name_object(app: object) -> str:
    """Return a name for gunicorn's command line, the same for the same object; it lives as long as this process."""
    module = sys.modules.setdefault(MODULE, ModuleType(MODULE, "Applications that fixtures have made."))
    for name, value in vars(module).items():
        if value is app and name.startswith("app_"):
            return f"{MODULE}:{name}"
    name = f"app_{sum(one.startswith('app_') for one in vars(module))}"
    setattr(module, name, app)
    return f"{MODULE}:{name}"


def describe(name: str) -> str:
    """Return how sentences call the application of this name: an object as Python writes it."""
    module, _, attribute = name.partition(":")
    return f"{getattr(sys.modules.get(module), attribute, name)!r:.100}" if module == MODULE else name
