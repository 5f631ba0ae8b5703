"""Say how a failed test is run again: the line "reproduce" of its report."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ..options import settings
from ..stash import REPLAY
from .report import reproduce_line

__all__ = ["reproduce"]

NOT_OF_THE_TEST = ("keep", "html", "artifacts")
"""Settings that say what is kept of a failure, and are no part of the line that reproduces it."""


def reproduce(item: pytest.Item, earlier: Sequence[str] = ()) -> str:
    """Return the line that runs a test again, with the tests that its cluster had run before, and with its settings."""
    return reproduce_line([*earlier, item.nodeid], _changed_settings(item))


def _changed_settings(item: pytest.Item) -> list[str]:
    changed: list[str] = []
    replay = item.stash.get(REPLAY, {})
    for setting in settings.SETTINGS:
        if setting.name in replay:
            changed.append(f"{setting.option}={replay[setting.name]}")
            continue
        found = settings.value_of(item.config, setting.name)
        if found.source in ("default", "ini") or setting.name in NOT_OF_THE_TEST:
            continue
        if setting.metavar is None:
            changed += [setting.option] if found.value else []  # that it is off cannot be said there
        else:
            value = ",".join(map(str, found.value)) if isinstance(found.value, tuple) else str(found.value)
            changed.append(f"{setting.option}={value}")
    return changed
