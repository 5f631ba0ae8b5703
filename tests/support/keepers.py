"""End the keepers of a test with it: in life they end with their process, and ask a server that is gone until then."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from nodecluster_compat.sharing.keeper import Keeper

__all__ = ["keepers_that_end"]

PATIENCE = 20.0


@contextmanager
def keepers_that_end() -> Iterator[None]:
    """End the threads of all keepers that are made meanwhile."""
    made: list[Keeper] = []
    begin = Keeper.__init__

    def note(self: Keeper, *arguments: Any, **options: Any) -> None:
        begin(self, *arguments, **options)
        made.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Keeper, "__init__", note)
        yield
        for keeper in made:
            _end(keeper, patch)


def _end(keeper: Keeper, patch: pytest.MonkeyPatch) -> None:
    has_ended = threading.Event()

    def wait_no_more() -> bool:
        keeper._runs = False
        has_ended.set()
        return False

    patch.setattr(keeper, "_wait", wait_no_more)
    with keeper._changed:
        if not keeper._runs:
            return
        keeper._changed.notify()
    assert has_ended.wait(PATIENCE)
