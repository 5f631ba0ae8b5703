"""Makes a worker cooperative after its primary has imported things.

A script's primary is not patched (its loop must not be gevent's), so a module that it imported may hold the blocking
original of something that gevent replaces: ``from time import sleep``, ``from ssl import SSLContext``.  After the
usual patch those names are bound to the replacements as well.  What no rebinding reaches: subclasses made before, and
objects.
"""

from __future__ import annotations

import sys
import warnings
from types import ModuleType
from typing import Any

from gevent import monkey

__all__ = ["patch_worker"]


def patch_worker() -> None:
    """Patch this process with gevent, whatever it has imported before."""
    with warnings.catch_warnings():
        # gevent warns of a module that holds the unpatched SSLContext; it is rebound right below.
        warnings.simplefilter("ignore", monkey.MonkeyPatchWarning)
        monkey.patch_all()
    replacements = _replacements()
    for name, module in list(sys.modules.items()):
        if not name.startswith(("gevent", "nodecluster_compat", "greenlet")):
            _rebind(module, replacements)


def _replacements() -> dict[int, tuple[Any, Any]]:
    """The originals that gevent replaced, by identity, and what it replaced them with."""
    found: dict[int, tuple[Any, Any]] = {}
    for module_name, originals in monkey.saved.items():
        module = sys.modules.get(module_name)
        for name, original in originals.items():
            replacement = getattr(module, name, None)
            if callable(original) and callable(replacement) and replacement is not original:
                found[id(original)] = (original, replacement)
    return found


def _rebind(module: ModuleType, replacements: dict[int, tuple[Any, Any]]) -> None:
    if module.__name__ in monkey.saved or module.__name__.startswith("_"):
        return  # gevent has been here, or the originals live here
    for name, value in list(vars(module).items()):
        entry = replacements.get(id(value))
        if entry is not None and entry[0] is value:
            setattr(module, name, entry[1])
