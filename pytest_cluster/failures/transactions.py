"""Find transactions of the test in which it may have written what no worker sees, and say so in its report."""

from __future__ import annotations

import contextlib
import gc
import sys
from typing import Any

__all__ = ["unseen_writes"]

ADVICE = "workers are other processes, for which nothing of that exists until it is committed"


def unseen_writes() -> str:
    """Say in one line which transactions of this process are open, or nothing."""
    found: list[str] = []
    with contextlib.suppress(Exception):  # the failure itself must be reported
        found += _of_django()
    with contextlib.suppress(Exception):
        found += _of_sqlalchemy()
    return f"not seen: {'; '.join(found)}: {ADVICE}" if found else ""


def _of_django() -> list[str]:
    """Tell of ``django.test.TestCase``, whose class has a transaction around all its tests, and of any other."""
    if "django.db" not in sys.modules:
        return []
    from ..requests.for_django import unseen_databases

    hint = "use a TransactionTestCase or django_db(transaction=True), and a database in a file or a server"
    return [f"Django's database {alias!r} {why} ({hint})" for alias, why in unseen_databases().items()]


def _of_sqlalchemy() -> list[str]:
    engine = sys.modules.get("sqlalchemy.engine")
    if engine is None:
        return []
    kind: Any = engine.Connection
    open_ones = [one for one in gc.get_objects() if type(one) is kind and not one.closed and one.in_transaction()]
    places = dict.fromkeys(one.engine.url.render_as_string(hide_password=True) for one in open_ones)
    return [f"SQLAlchemy has a transaction on {place} (commit it, or let the application write)" for place in places]
