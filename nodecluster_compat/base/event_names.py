"""Know the events of an emitter by name, so that none is listened for in vain.

An emitter that has such a table warns once, where a handler is registered, of a name that it never emits: with the name
that may have been meant, or with what to write instead of one of Node's that does not exist here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["KnownEvents"]

_OF_EVERY_EMITTER: Final = {"new_listener": 2}
_INSTEAD_EVERYWHERE: Final = {
    "newListener": "it is spelt 'new_listener' here",
    "removeListener": "no event tells that a handler was removed",
}


class KnownEvents:
    """The events of one kind of emitter.

    Args:
        counts: how many arguments each event has.
        instead: of Node's events that are not there, what to write instead.
    """

    def __init__(self, counts: Mapping[str, int], instead: Mapping[str, str] | None = None) -> None:
        self.counts: Mapping[str, int] = {**_OF_EVERY_EMITTER, **counts}
        self._instead = {**_INSTEAD_EVERYWHERE, **(instead or {})}

    def has_word_on(self, name: str) -> bool:
        """Whether there is such an event, or something to say of it."""
        return name in self.counts or name in self._instead

    def complaint(self, name: str) -> str | None:
        """Return what to say of a handler for ``name``; ``None`` when the event exists."""
        if name in self.counts:
            return None
        if name in self._instead:
            return self._instead[name]
        from difflib import get_close_matches

        near = get_close_matches(name, self.counts, 1, 0.6) or self._spelt_otherwise(name)
        meant = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(map(repr, sorted(self._told())))}"
        return f"it is called only if the program itself emits it; {meant}"

    def _told(self) -> list[str]:
        names = [name for name in self.counts if not name.startswith("SIG") and name != "new_listener"]
        return [*names, *(["SIGTERM"] if "SIGTERM" in self.counts else [])]

    def _spelt_otherwise(self, name: str) -> list[str]:
        flat = _flat(name)
        return [known for known in self.counts if _flat(known) == flat or _flat(known) == "sig" + flat]


def _flat(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
