"""Find the import name of an application, so that a server, which is another process, can load it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from types import ModuleType

from ..errors import OptionError

__all__ = ["Located", "locate"]


@dataclass(frozen=True, slots=True)
class Located:
    """An application as gunicorn's command line names it, and the folder that its import begins in."""

    name: str
    folder: str | None = None


def locate(app: object) -> Located:
    """Return where *app* is found: an import string, or a WSGI callable that has a global name.

    :raises OptionError: it has none; the sentence says what to do.
    """
    if isinstance(app, str):
        return Located(app)
    if not callable(app):
        raise OptionError(f"cluster_app: expected 'module:name' or a WSGI callable, got {app!r:.100}")
    for module_name in (getattr(app, "__module__", None), getattr(app, "import_name", None), *list(sys.modules)):
        module = sys.modules.get(module_name) if isinstance(module_name, str) else None
        name = None if module is None else _global_name(module, app)
        if module is not None and name is not None:
            return Located(f"{module_name}:{name}", _import_folder(module))
    raise OptionError(
        f"cluster_app: {app!r:.100} is no global of a module, so a server, which is another process, cannot import it: "
        "give it a name at the top level of its module, or return 'module:name', or 'module:factory()' for a function "
        "that makes it; or say fork_app=True"
    )


def _global_name(module: ModuleType, app: object) -> str | None:
    return next((name for name, value in list(vars(module).items()) if value is app and name.isidentifier()), None)


def _import_folder(module: ModuleType) -> str | None:
    file: str | None = getattr(module, "__file__", None)
    if file is None:
        return None
    folder = os.path.dirname(os.path.abspath(file))
    depth = module.__name__.count(".") + (os.path.basename(file) == "__init__.py")
    for _ in range(depth):
        folder = os.path.dirname(folder)
    return folder
