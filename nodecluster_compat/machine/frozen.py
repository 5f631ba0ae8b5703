"""Freeze objects for the garbage collector, and unfreeze them, except those that a template froze for its children.

A process that was forked from a template (``_gunicorn/preloading.py``) shares nearly all that it has.  Whoever looks at
an object counts a reference to it, and so copies its page: to look at all of them costs more than all else that a small
server does.  There nothing is frozen beside what the template has frozen, and that stays so.
"""

from __future__ import annotations

import gc

__all__ = ["freeze", "leave_frozen", "unfreeze"]


class _ThisProcess:
    frozen = 0  # how many objects a template has frozen; 0: there is none


def leave_frozen() -> None:
    """In a child of a template: what is frozen now stays so, and nothing else is."""
    _ThisProcess.frozen = gc.get_freeze_count()


def freeze() -> None:
    """Let no collection look at what there is."""
    if not _ThisProcess.frozen:
        gc.freeze()


def unfreeze() -> None:
    """Let the collector look at everything again; in a child of a template, if somebody else has frozen more there."""
    if gc.get_freeze_count() > _ThisProcess.frozen:
        gc.unfreeze()
