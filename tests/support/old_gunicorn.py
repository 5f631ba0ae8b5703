"""Skip tests of ASGI workers on a gunicorn that is too old for them.

A test is one if its markers or its parameters say so, or the name of its file.
"""

from __future__ import annotations

from collections.abc import Iterable

import gunicorn
import pytest

__all__ = ["skip_asgi"]

_FIRST = (27, 0, 1)
_NAMES = ("ASGIWorker", "asgi_kind.Worker", "'asgi'")
_FILES = ("test_asgi", "test_kind_changes")


def skip_asgi(items: Iterable[pytest.Item]) -> None:
    """Mark what cannot run with the installed version."""
    if gunicorn.version_info >= _FIRST:
        return
    for item in items:
        if _is_of_asgi(item):
            item.add_marker(pytest.mark.skip(reason="ASGIWorker needs gunicorn 27.0.1"))


def _is_of_asgi(item: pytest.Item) -> bool:
    said = [marker.kwargs for marker in item.iter_markers("cluster")]
    if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
        said.append(item.callspec.params)
    return item.path.name.startswith(_FILES) or any(name in repr(said) for name in _NAMES)
