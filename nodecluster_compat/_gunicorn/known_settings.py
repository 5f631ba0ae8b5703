"""Check setting names for ``pytest_cluster``: gunicorn ignores those that it does not know.

It has to, because a ``gunicorn.conf.py`` may have variables of its own.  One that the plugin has written has none: a
name in it that is no setting is a slip of the test's, and the test would pass without what it asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from gunicorn import __version__
from gunicorn.config import KNOWN_SETTINGS

from ..errors import SettingsError
from ..roles.settings import SupervisionSettings
from ..roles.spawn_settings import SpawnSettings

__all__ = ["check_settings"]

_MOST_MATCHES: Final = 3
_SIMILAR: Final = 0.7


class _Asked(dict[str, object]):
    """Settings that note which names were looked for, so that no list of them has to be kept."""

    def __init__(self, **settings: object) -> None:
        super().__init__(settings)
        self.names: set[str] = set()

    def get(self, name: str, default: object = None) -> object:
        self.names.add(name)
        return super().get(name, default)


def _names_of_the_primary() -> set[str]:
    """Return what ``cluster.setup_primary()`` understands."""
    asked = _Asked(exec="a script")
    SupervisionSettings.of(asked)
    SpawnSettings.checked(asked, frozenset())
    return asked.names


def check_settings(names: Iterable[str]) -> None:
    """Refuse names that this gunicorn does not know.

    Raises:
        SettingsError: the sentence has them all, and what may have been meant.
    """
    known = {setting.name for setting in KNOWN_SETTINGS}
    if unknown := [name for name in names if name not in known]:
        raise SettingsError("; ".join(_sentence(name, known) for name in unknown))


def _sentence(name: str, known: set[str]) -> str:
    own = _names_of_the_primary()
    if name in own:
        source = f"from nodecluster_compat import cluster; cluster.setup_primary({name}=…)"
        return f"{name!r} is none of gunicorn's settings but one of the primary's: use config={source!r}"
    matches = get_close_matches(name, sorted(known | own), _MOST_MATCHES, _SIMILAR)
    meant = f" (did you mean {' or '.join(map(repr, matches))}?)" if matches else ", nor one like it"
    return f"gunicorn {__version__} has no setting {name!r}{meant}"
