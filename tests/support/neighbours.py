"""Deal tests to the processes of xdist in small groups of neighbours, which share clusters; no long file is the tail.

xdist's own ``loadgroup`` would do, but finds no group with pytest 9 (xdist 3.8).
"""

from __future__ import annotations

from collections import Counter

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

__all__ = ["NeighbourScheduling"]

NEIGHBOURS = 8
WHOLE = ("test_matrix.py",)
"""Files that one process runs, several tests at a time."""
PURE = "tests/unit/"
"""What waits for nothing: one process of six begins with it, and computes while the others wait for clusters."""


class NeighbourScheduling(LoadScopeScheduling):
    """``--dist loadfile``, but a file goes in parts."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self._scopes: dict[str, str] = {}
        self._seen: Counter[str] = Counter()

    def _assign_work_unit(self, node: WorkerController) -> None:
        begins_pure = self.nodes.index(node) < max(1, len(self.nodes) // 6)
        for scope in self.workqueue:
            if scope.startswith(PURE) is begins_pure:
                self.workqueue.move_to_end(scope, last=False)
                break
        super()._assign_work_unit(node)

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """Forget what is done as a whole: xdist would count all of it again after each test."""
        super().mark_test_complete(node, item_index, duration)
        scope = self._split_scope(self.registered_collections[node][item_index])
        if all(self.assigned_work[node][scope].values()):
            del self.assigned_work[node][scope]

    def _split_scope(self, nodeid: str) -> str:
        if nodeid not in self._scopes:
            file = nodeid.split("::", maxsplit=1)[0]
            self._scopes[nodeid] = file if file.endswith(WHOLE) else f"{file} {self._seen[file] // NEIGHBOURS}"
            self._seen[file] += 1
        return self._scopes[nodeid]
