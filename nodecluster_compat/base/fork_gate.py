"""Run fork hooks closest to the fork: last before it, and first after it in the parent.

Python calls the functions of ``os.register_at_fork`` before a fork in the reverse of the order in which they were
registered, and after it in that order.  So the first to register is nearest, and this module is imported with the
package.  A library or a program that waits in a hook of its own then keeps nothing waiting that has to stop for the
fork alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable

__all__ = ["stand_nearest"]


class _Nearest:
    before: Callable[[], None] | None = None
    after_in_parent: Callable[[], None] | None = None


def stand_nearest(before: Callable[[], None], after_in_parent: Callable[[], None]) -> None:
    """Call these nearest to each fork of this process and of its children.

    Args:
        before: called last of all before the fork.
        after_in_parent: called first of all after it.
    """
    _Nearest.before, _Nearest.after_in_parent = before, after_in_parent


def _before() -> None:
    if _Nearest.before is not None:
        _Nearest.before()


def _after_in_parent() -> None:
    if _Nearest.after_in_parent is not None:
        _Nearest.after_in_parent()


os.register_at_fork(before=_before, after_in_parent=_after_in_parent)
