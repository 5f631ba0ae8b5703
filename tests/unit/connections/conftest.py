"""An engine with real channels and clients, workers played by hand, and its loop turned by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from engine_rig import EngineRig as Rig
from manual_clock import ManualClock

from nodecluster_compat.base.native import PYTHON
from nodecluster_compat.connections.kernel_check import kernel_tells_what_was_taken


@pytest.fixture(params=["edges", "edges in Python", "answers"])
def rig(no_leaks: None, request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Once for a kernel that tells what was taken, with C and without, and once for one that does not."""
    kernel_tells_what_was_taken()
    made = Rig(request.param == "answers", PYTHON if request.param == "edges in Python" else None)
    yield made
    made.close()


@pytest.fixture
def clock(rig: Rig) -> ManualClock:
    """What the engine and its loop take for the time."""
    made = ManualClock()
    rig.loop.clock = made
    rig.engine.offers.ahead.allowance._then = made.now
    return made
