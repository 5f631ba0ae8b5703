"""Freeze objects for the garbage collector, and unfreeze them, except those that a template froze for its children.

A process that was forked from a template (``_gunicorn/preloading.py``) shares nearly all that it has.  Looking at an
object counts a reference to it, and so copies its page: looking at all of them costs more than everything else that a
small server does.  In such a process nothing is frozen but what the template has frozen, and that stays so.
"""

from __future__ import annotations

import gc

__all__ = ["freeze", "is_from_template", "leave_frozen", "unfreeze"]


class _ThisProcess:
    probe: object = None  # made after a template has frozen what there was; None: there is no template


def leave_frozen() -> None:
    """In a child of a template: what is frozen now stays so, and nothing else is."""
    _ThisProcess.probe = []


def is_from_template() -> bool:
    """Whether this process, or its primary, was forked from a template."""
    return _ThisProcess.probe is not None


def freeze() -> None:
    """Let no collection look at what there is."""
    if _ThisProcess.probe is None:
        gc.freeze()


def unfreeze() -> None:
    """Let the collector look at everything again; in a child of a template, if somebody else has frozen more there.

    To count what is frozen would be to walk through all that the template has.
    """
    if _ThisProcess.probe is None or not any(one is _ThisProcess.probe for one in gc.get_objects()):
        gc.unfreeze()
