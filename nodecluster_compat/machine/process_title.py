"""Say in the list of processes (``ps``, ``top``) what a process is and how it is, where ``setproctitle`` is installed.

A title that somebody else has set, a hook as a rule, is left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

__all__ = ["ProcessTitle"]


class ProcessTitle:
    """The title of this process.

    Args:
        kind: what the title begins with, ``gunicorn`` as a rule.  One that does not begin so any more is somebody
            else's.
        load: returns the library.
    """

    def __init__(self, kind: str, load: Callable[[str], Any] = import_module) -> None:
        self._start = f"{kind}: "
        self._said: str | None = None
        self._library = _loaded(load)

    def begin(self, text: str) -> None:
        """Say it, whatever the title was so far."""
        self._set(self._start + text)

    def say(self, text: str) -> None:
        """Say it, unless somebody else has set a title."""
        title = self._start + text
        if self._library is None or title == self._said:
            return
        if self._library.getproctitle().startswith(self._start):  # gunicorn sets its own again, after a reload
            self._set(title)

    def _set(self, title: str) -> None:
        self._said = title
        if self._library is not None:
            self._library.setproctitle(
                title.encode(errors="backslashreplace").decode()
            )  # of a path, which is any bytes


@cache  # looked for in the primary: a look that fails would copy many pages into each worker
def _loaded(load: Callable[[str], Any]) -> Any:  # noqa: ANN401 - a module without types
    try:
        return load("setproctitle")
    except ImportError:
        return None
