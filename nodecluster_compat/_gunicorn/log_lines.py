"""Escape control characters in gunicorn's logs, so that one event is one line.

gunicorn puts into its access log what a client sends, decoded: the user name of ``Authorization: Basic``, a path with
``%0d%0a``.  It escapes quotation marks only, so a client can write lines of its own there.
"""

from __future__ import annotations

import logging
import os
from typing import Any, Final

import gunicorn

from ..base.log import Log
from ..base.one_line import OneLine, one_line

__all__ = ["escapes_only", "keep_lines_whole"]

_OURS: Final = (os.path.dirname(gunicorn.__file__), os.path.dirname(os.path.dirname(__file__)))
_ABOUT_A_REQUEST: Final = "Invalid request from ip="


class _EscapedAtoms:
    """Mixed into gunicorn's ``SafeAtoms``, or what a logger class has in its place."""

    def __init__(self, atoms: Any) -> None:  # noqa: ANN401 - of the class that this is mixed into
        super().__init__(atoms)  # type: ignore[call-arg]
        fields: Any = self
        if not "".join([value for value in fields.values() if isinstance(value, str)]).isprintable():
            for name, value in fields.items():
                if isinstance(value, str):
                    fields[name] = one_line(value)


def keep_lines_whole(log: Log) -> None:
    """Escape control characters in all that ``log`` writes; a second call changes nothing.

    What an application logs by itself, and tracebacks, keep their lines.
    """
    wrapper = getattr(log, "atoms_wrapper_class", None)
    if isinstance(wrapper, type) and issubclass(wrapper, dict) and not issubclass(wrapper, _EscapedAtoms):
        log.atoms_wrapper_class = type(wrapper.__name__, (_EscapedAtoms, wrapper), {})  # type: ignore[attr-defined]
    for logger in (getattr(log, "error_log", None), logging.getLogger("nodecluster_compat")):
        if isinstance(logger, logging.Logger) and not any(isinstance(one, _Filter) for one in logger.filters):
            logger.addFilter(_Filter())


def escapes_only(log: Log, wrapper: type) -> bool:
    """Whether the atoms of ``log`` are those of gunicorn's ``wrapper``, escaped by :func:`keep_lines_whole`."""
    found = getattr(log, "atoms_wrapper_class", None)
    return isinstance(found, type) and found.__bases__ == (_EscapedAtoms, wrapper)


class _Filter(OneLine):
    def __init__(self) -> None:
        super().__init__(lambda record: record.pathname.startswith(_OURS))

    def filter(self, record: logging.LogRecord) -> bool:
        """Extends :class:`OneLine`'s: this line of gunicorn's has its words put in already."""
        if isinstance(record.msg, str) and record.msg.startswith(_ABOUT_A_REQUEST):
            record.msg = one_line(record.msg)
        return super().filter(record)
