"""Find what a test has done that no worker sees, and say so in its report: open transactions, overridden settings."""

from __future__ import annotations

import contextlib
import gc
import sys
from types import ModuleType
from typing import Any

__all__ = ["unseen_writes"]

CHANGED_BY_DJANGO = frozenset({"ALLOWED_HOSTS"})
"""By its own test cases."""
ENV = "workers have those of their module (let that read the environment and say env={…}, or say fork_app=True)"
ADVICE = "workers are other processes, for which nothing of that exists until it is committed"


def unseen_writes() -> str:
    """Say in a line which transactions of this process are open, and in one which settings are overridden, if any."""
    found: list[str] = []
    with contextlib.suppress(Exception):  # the failure itself must be reported
        found += _of_django()
    with contextlib.suppress(Exception):
        found += _of_sqlalchemy()
    told = [f"not seen: {'; '.join(found)}: {ADVICE}"] if found else []
    with contextlib.suppress(Exception):
        told += _overridden_settings()
    return "\n".join(told)


def _of_django() -> list[str]:
    """Tell of ``django.test.TestCase``, whose class has a transaction around all its tests, and of any other."""
    if "django.db" not in sys.modules:
        return []
    from ..requests.for_django import unseen_databases

    hint = "use a TransactionTestCase or django_db(transaction=True), and a database in a file or a server"
    return [f"Django's database {alias!r} {why} ({hint})" for alias, why in unseen_databases().items()]


def _overridden_settings() -> list[str]:
    """Tell of Django's ``override_settings`` on a class, and of pytest-django's fixture ``settings``."""
    conf = sys.modules.get("django.conf")
    holder: Any = getattr(getattr(conf, "settings", None), "_wrapped", None)
    names: set[str] = set()
    while not isinstance(getattr(holder, "default_settings", None), ModuleType | None):  # what was configured is below
        names |= {name for name in vars(holder) if name.isupper()}
        holder = holder.default_settings
    names -= CHANGED_BY_DJANGO
    what = ", ".join(sorted(names))
    return [f"not seen: Django's settings {what} are overridden in this process: {ENV}"] if names else []


def _of_sqlalchemy() -> list[str]:
    engine = sys.modules.get("sqlalchemy.engine")
    if engine is None:
        return []
    kind: Any = engine.Connection
    open_ones = [one for one in gc.get_objects() if type(one) is kind and not one.closed and one.in_transaction()]
    places = dict.fromkeys(one.engine.url.render_as_string(hide_password=True) for one in open_ones)
    return [f"SQLAlchemy has a transaction on {place} (commit it, or let the application write)" for place in places]
