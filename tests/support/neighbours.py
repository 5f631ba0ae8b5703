"""Deal tests to the processes of xdist in small groups of neighbours, which share clusters; no long file is the tail.

xdist's own ``loadgroup`` would do, but finds no group with pytest 9 (xdist 3.8).
"""

from __future__ import annotations

from collections import Counter

from xdist.scheduler import LoadScopeScheduling

__all__ = ["NeighbourScheduling"]

NEIGHBOURS = 8
WHOLE = ("test_matrix.py",)
"""Files that one process runs, several tests at a time."""


class NeighbourScheduling(LoadScopeScheduling):
    """``--dist loadfile``, but a file goes in parts."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self._scopes: dict[str, str] = {}
        self._seen: Counter[str] = Counter()

    def _split_scope(self, nodeid: str) -> str:
        if nodeid not in self._scopes:
            file = nodeid.split("::", maxsplit=1)[0]
            self._scopes[nodeid] = file if file.endswith(WHOLE) else f"{file} {self._seen[file] // NEIGHBOURS}"
            self._seen[file] += 1
        return self._scopes[nodeid]
